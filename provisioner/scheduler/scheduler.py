"""The scheduler: each requested instance gets a node in one transaction, or is told why not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

import structlog

from provisioner.core.errors import ProvisionerError
from provisioner.core.model import Image, ImageState, Instance, Node, Port, TimelineEvent, Work
from provisioner.core.placement import place
from provisioner.core.plan import deploy_plan
from provisioner.core.states import Event, InstanceState, ProvisionState, next_state
from provisioner.protocols.clock import Clock
from provisioner.protocols.ids import Ids
from provisioner.protocols.store import Store, Tx

log = structlog.get_logger(__name__)

GATHER_S = 0.02
BATCH = 50
"""Requests placed in one transaction: bounds how long others wait for the store."""


class Scheduler:
    """Any number of them may run: claims are conditional updates."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, poll_s: float = 2.0) -> None:
        """poll_s: how often the store is looked at when no wake-up comes."""
        self._store = store
        self._clock = clock
        self._ids = ids
        self._poll_s = poll_s
        self._queue: Sequence[str] = ()

    async def run(self) -> None:
        """Places requests until cancelled."""
        watch = self._store.watch("instances", "nodes")
        try:
            while True:
                try:
                    more = await self.place_some()
                except ProvisionerError as error:
                    log.warning("scheduler.interrupted", cause=error.message)
                    more = False
                if not more:
                    await watch.wait(self._poll_s)
                    # Requests come in crowds: one transaction for all that come close together.
                    await self._clock.sleep(GATHER_S)
        finally:
            watch.close()

    async def place_some(self) -> bool:
        """Tries the oldest requests; True when some were placed and others may be waiting."""
        queue, self._queue = self._queue, ()
        left = await self._store.transact(partial(self._place, queue=queue))
        self._queue = left or ()
        return left is not None

    def _place(self, tx: Tx, queue: Sequence[str]) -> Sequence[str] | None:
        """queue: the requests that come next, as far as it is known. Returns those after them: empty: look
        again who is the oldest; None: nobody is left to be tried."""
        where: dict[str, object] = {"state": InstanceState.REQUESTED, "delete_requested": False}
        if queue:
            where["id"] = tuple(queue[:BATCH])
        requested = tx.find(Instance, where=where)
        requested.sort(key=lambda instance: (instance.created_at, instance.id))
        nodes = _Nodes(tx)
        placed, waiting = 0, False
        for number, instance in enumerate(requested):
            if placed == BATCH:
                # Whoever waits comes before those after it, should a node become free in between.
                return () if waiting else [left.id for left in requested[number:]]
            image = tx.get(Image, instance.image_id)
            if image is None or image.state is not ImageState.ACTIVE:
                self._waits(tx, instance, "its image is not ready")
                continue
            placement = place(instance, image, nodes.that_may_do(instance))
            if placement.node is None:
                self._waits(tx, instance, placement.explain())
                waiting = True
                continue
            if self._claim(tx, instance, placement.node):
                nodes.taken(placement.node)
                placed += 1
            else:
                waiting = True
        later = queue[BATCH:]
        return () if later and waiting else later or None

    def _waits(self, tx: Tx, instance: Instance, why: str) -> None:
        if instance.waiting_for != why:
            tx.update(Instance, instance.id, {"waiting_for": why}, expect={"state": InstanceState.REQUESTED})
            tx.notify(f"instance:{instance.id}")

    def _claim(self, tx: Tx, instance: Instance, node: Node) -> bool:
        plan = deploy_plan(node)
        work = Work(id=self._ids.uuid(), plan=plan.name, step=plan.first, entered_at=tx.now())
        claimed = tx.update(
            Node,
            node.id,
            {
                "state": next_state(node.state, Event.CLAIM),
                "instance_id": instance.id,
                "work": work,
                "failure": None,
            },
            expect={"state": ProvisionState.AVAILABLE, "instance_id": None, "maintenance": False},
        )
        if not claimed:
            return False
        port = next(iter(tx.find(Port, where={"node_id": node.id})), None)
        tx.update(
            Instance,
            instance.id,
            {
                "state": InstanceState.BUILDING,
                "node_id": node.id,
                "waiting_for": "",
                "address": port.address if port else "",
            },
            expect={"state": InstanceState.REQUESTED},
        )
        tx.insert(
            TimelineEvent(
                node_id=node.id,
                instance_id=instance.id,
                at=tx.now(),
                source="controller",
                name="node.claimed",
                text=f"instance {instance.name} got node {node.name}",
                fence=node.fence,
            )
        )
        tx.notify("nodes", "work", f"node:{node.id}", f"instance:{instance.id}")
        return True


class _Nodes:
    """Of one transaction. Read when they are needed: a request that names its node concerns no other."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._free: dict[str, Node] | None = None
        self._all: list[Node] | None = None

    def that_may_do(self, instance: Instance) -> Collection[Node]:
        """The one that was asked for; else those that are free; with none free, all for their reasons."""
        if instance.node_name is not None:
            return self._tx.find(Node, where={"name": instance.node_name})
        if self._free is None:
            free = self._tx.find(Node, where={"state": ProvisionState.AVAILABLE})
            self._free = {node.id: node for node in free}
        if self._free:
            return self._free.values()
        if self._all is None:
            self._all = self._tx.find(Node)
        return self._all

    def taken(self, node: Node) -> None:
        if self._free is not None:
            self._free.pop(node.id, None)
