"""Idle nodes' power, asked for once in a while: it changes without us (a button, a feed, a dead BMC)."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

import structlog

from provisioner.compute.devices import seen
from provisioner.compute.edges import Edges
from provisioner.compute.operator_requests import may_note_power
from provisioner.core.errors import Defect, ProvisionerError, StateError, TransientError
from provisioner.core.model import Node, TimelineEvent
from provisioner.core.states import ACTING, PowerState, ProvisionState
from provisioner.protocols.store import Tx

log = structlog.get_logger(__name__)

TURNS = 60
"""An interval is cut into so many turns, each for its share of the nodes: the BMCs' network and our own
processor see a trickle, whatever the number of nodes."""

LEFT_OUT = ACTING | {ProvisionState.ENROL_FAILED}
"""Work looks at the power by itself. A device that refused our password is not asked again by itself: many
lock an account after a few wrong ones."""


class PowerRefresh:
    """busy: whether a node is being worked on by this process"""

    def __init__(self, edges: Edges, busy: Callable[[str], bool]) -> None:
        self._edges = edges
        self._busy = busy
        self._asking = asyncio.Semaphore(edges.refresh.at_once)

    async def run(self) -> None:
        """Until cancelled. The first nodes are asked one interval after the start, which has enough to do."""
        interval_s = self._edges.refresh.interval_s
        if not interval_s:
            return
        await self._edges.clock.sleep(interval_s)
        while True:
            await self._round(interval_s / TURNS)

    async def _round(self, turn_s: float) -> None:
        edges, host = self._edges, self._edges.lease.host
        after: str | None = None
        number: int | None = None
        for turn in range(TURNS):
            await edges.clock.sleep(turn_s)
            try:
                if number is None:
                    number = await edges.store.transact(lambda tx: tx.count(Node, where={"owner": host}))
                share = (turn + 1) * number // TURNS - turn * number // TURNS
                if share:
                    after = await self._ask_some(after, share)
            except TransientError as error:
                log.warning("power.not_refreshed", cause=error.message)

    async def _ask_some(self, after: str | None, share: int) -> str | None:
        """Returns the id to go on after."""
        host = self._edges.lease.host
        nodes = await self._edges.store.transact(
            lambda tx: tx.find(Node, where={"owner": host}, after=after, limit=share)
        )
        async with asyncio.TaskGroup() as group:
            for node in nodes:
                if node.state not in LEFT_OUT and not self._busy(node.id):
                    group.create_task(self._refresh(node))
        return nodes[-1].id if nodes else after

    async def _refresh(self, node: Node) -> None:
        async with self._asking:
            try:
                found, why = await self._ask(node)
                if found is not node.power_state:
                    await self._edges.store.transact(lambda tx: _note(tx, node, found, why))
            except StateError:
                return  # no time left in the lease, or another's node: whoever owns it then asks again
            except TransientError as error:
                log.warning("power.not_refreshed", node=node.name, cause=error.message)

    async def _ask(self, node: Node) -> tuple[PowerState, str]:
        """The power, and what is known beyond it: of outlets, each; or why it isn't known."""
        try:
            device = self._edges.device(node)
            return await self._edges.power.state(device, patience_s=0), seen(device.control)
        except StateError:
            raise
        except ProvisionerError as error:
            return PowerState.UNKNOWN, error.message
        except Exception as error:  # noqa: BLE001 - a defect must leave one node's power unknown, no more
            log.error("power.defect", node=node.name, trace=traceback.format_exc())
            return PowerState.UNKNOWN, Defect.of("read the power", f"node {node.name}", error).message


def _note(tx: Tx, node: Node, found: PowerState, why: str) -> None:
    """Only on the row that was looked at: who changed it meanwhile knows better, or is about to."""
    if not may_note_power(tx, node):
        return
    seen = {"fence": node.fence, "state": node.state, "updated_at": node.updated_at}
    if tx.update(Node, node.id, {"power_state": found}, expect=seen):
        tx.insert(
            TimelineEvent(
                node_id=node.id,
                instance_id=node.instance_id,
                at=tx.now(),
                source="power",
                name="power.found",
                text=f"{found}, was {node.power_state}" + (f": {why}" if why else ""),
                fence=node.fence,
            )
        )
        tx.notify(f"node:{node.id}")
