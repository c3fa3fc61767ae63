"""The scheduler: each requested instance gets a node in one transaction, or is told why not."""

from __future__ import annotations

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
        return await self._store.transact(self._place)

    def _place(self, tx: Tx) -> bool:
        requested = tx.find(Instance, where={"state": InstanceState.REQUESTED, "delete_requested": False})
        if not requested:
            return False
        requested.sort(key=lambda instance: (instance.created_at, instance.id))
        free = tx.find(Node, where={"state": ProvisionState.AVAILABLE})
        placed = 0
        for instance in requested:
            if placed == BATCH:
                return True
            image = tx.get(Image, instance.image_id)
            if image is None or image.state is not ImageState.ACTIVE:
                self._waits(tx, instance, "its image is not ready")
                continue
            placement = place(instance, image, free or self._named(tx, instance))
            if placement.node is None:
                self._waits(tx, instance, placement.explain())
                continue
            if self._claim(tx, instance, placement.node):
                free.remove(placement.node)
                placed += 1
        return False

    def _named(self, tx: Tx, instance: Instance) -> list[Node]:
        """With no node free, the reasons of the one asked for, or of all."""
        where = {"name": instance.node_name} if instance.node_name else None
        return tx.find(Node, where=where)

    def _waits(self, tx: Tx, instance: Instance, why: str) -> None:
        if instance.waiting_for != why:
            tx.update(Instance, instance.id, {"waiting_for": why}, expect={"state": InstanceState.REQUESTED})
            tx.notify(f"instance:{instance.id}")

    def _claim(self, tx: Tx, instance: Instance, node: Node) -> bool:
        plan = deploy_plan(node.deploy_driver)
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
        tx.notify("nodes", f"node:{node.id}", f"instance:{instance.id}")
        return True
