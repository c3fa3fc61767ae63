"""Neither timelines nor what is known of deleted instances grows without end: what is old, or too much, is
forgotten, in bounded batches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import structlog

from provisioner.core.errors import ProvisionerError
from provisioner.core.model import Instance, Node, TimelineEvent
from provisioner.core.states import InstanceState
from provisioner.protocols.clock import Clock
from provisioner.protocols.store import Store, Tx

log = structlog.get_logger(__name__)

ROUND_S = 3600.0
BATCH = 200
"""Events removed in one transaction: bounds how long others wait for the store."""

NODES_AT_ONCE = 100
"""Nodes whose events are counted in one transaction."""

INSTANCES_KEPT_S = 24 * 3600.0 + 2 * ROUND_S
"""At least, since they were deleted: who repeats the order that made them is answered by them, for a day and
until the round that forgets such orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelinePolicy:
    """keep_s: events are kept for so long, of deleted nodes too; and instances that were deleted, those for
    INSTANCES_KEPT_S if that is longer
    keep_events: the newest events of each node that are kept"""

    keep_s: float = 90 * 86_400.0
    keep_events: int = 10_000


class TimelinePruning:
    """Never removes an event of the instance that a node carries, nor any of a node that is worked on."""

    def __init__(self, store: Store, clock: Clock, policy: TimelinePolicy) -> None:
        self._store = store
        self._clock = clock
        self._policy = policy

    async def run(self) -> None:
        """Until cancelled, once in a while; not at the start, which has enough to do."""
        while True:
            await self._clock.sleep(ROUND_S)
            try:
                await self.prune()
            except Exception as error:  # whatever the store raises, there is another round
                log.warning(
                    "timeline.not_pruned",
                    cause=str(error),
                    exc_info=not isinstance(error, ProvisionerError),
                )

    async def prune(self) -> None:
        """One round. Raises what the store raises."""
        last: str | None = ""
        while last is not None:
            last = await self._store.transact(lambda tx, last=last: self._forget_instances(tx, last))  # type: ignore[misc]
        after: int | None = 0
        while after is not None:
            after = await self._store.transact(lambda tx, after=after: self._forget_old(tx, after))  # type: ignore[misc]
        node: str | None = ""
        while node is not None:
            node, too_long = await self._store.transact(lambda tx, node=node: self._count(tx, node))  # type: ignore[misc]
            for node_id in too_long:
                await self._shorten(node_id)

    def _forget_instances(self, tx: Tx, after: str) -> str | None:
        """Those of one batch that were deleted; returns where to go on, None at the end."""
        # By their ids alone: those that were deleted would be sorted anew for each batch.
        found = tx.pick(Instance, "id", "state", "updated_at", "node_id", after=after, limit=BATCH)
        kept_s = max(self._policy.keep_s, INSTANCES_KEPT_S)
        for id, state, ended_at, node_id in found:
            # One that never had a machine has nothing to be told of.
            since = tx.now() - timedelta(seconds=INSTANCES_KEPT_S if node_id is None else kept_s)
            if state is InstanceState.DELETED and ended_at < since:
                tx.delete(Instance, id)
        return found[-1][0] if len(found) == BATCH else None

    def _forget_old(self, tx: Tx, after: int) -> int | None:
        """One batch from the oldest on; returns where to go on, None at the end."""
        found = tx.find(TimelineEvent, after=after, limit=BATCH)
        since = tx.now() - timedelta(seconds=self._policy.keep_s)
        old = [event for event in found if event.at < since]
        named = tuple({event.node_id: None for event in old})
        nodes = {node.id: node for node in tx.find(Node, where={"id": named})} if named else {}
        for event in old:
            if not _needed(event, nodes.get(event.node_id)):
                tx.delete(TimelineEvent, event.id)
        return found[-1].id if len(old) == BATCH else None

    def _count(self, tx: Tx, after: str) -> tuple[str | None, list[str]]:
        """Where to go on, and which of some nodes have too many events."""
        nodes = tx.find(Node, after=after, limit=NODES_AT_ONCE)
        limit = self._policy.keep_events
        too_long = [
            node.id
            for node in nodes
            if node.work is None and tx.count(TimelineEvent, where={"node_id": node.id}) > limit
        ]
        return (nodes[-1].id if len(nodes) == NODES_AT_ONCE else None), too_long

    async def _shorten(self, node_id: str) -> None:
        """Removes the oldest events of one node, down to the limit."""

        def batch(tx: Tx, after: int) -> int | None:
            node = tx.get(Node, node_id)
            excess = tx.count(TimelineEvent, where={"node_id": node_id}) - self._policy.keep_events
            if node is None or excess <= 0:
                return None
            found = tx.find(TimelineEvent, where={"node_id": node_id}, after=after, limit=BATCH)
            for event in [event for event in found if not _needed(event, node)][:excess]:
                tx.delete(TimelineEvent, event.id)
            return found[-1].id if len(found) == BATCH else None

        after: int | None = 0
        while after is not None:
            after = await self._store.transact(lambda tx, after=after: batch(tx, after))  # type: ignore[misc]


def _needed(event: TimelineEvent, node: Node | None) -> bool:
    if node is None:
        return False
    return node.work is not None or (node.instance_id is not None and event.instance_id == node.instance_id)
