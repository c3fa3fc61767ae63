"""Fenced writes: the only way in which a compute host changes a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from provisioner.core.errors import LeaseLost
from provisioner.core.fields import changed
from provisioner.core.model import Instance, Node, TimelineEvent
from provisioner.protocols.store import Store, Tx


class NodeLedger:
    """One node's row and timeline, as its owner writes them.

    Keeps the last state it wrote, so that a step costs one conditional update and no read. Fields that others
    may write (maintenance, …) are not kept: ask the store.
    """

    def __init__(self, store: Store, node: Node) -> None:
        self._store = store
        self.node = node

    async def write(
        self,
        changes: Mapping[str, Any],
        *events: TimelineEvent,
        also: Callable[[Tx], None] | None = None,
    ) -> None:
        """Changes the row and appends to the timeline in one transaction.

        Raises LeaseLost when the row's fence is no longer ours; nothing was written then.
        """
        node, expect = self.node, {"fence": self.node.fence}

        def write(tx: Tx) -> Mapping[str, Any]:
            stored = _timed(changes, node, tx.now())
            if not tx.update(Node, node.id, stored, expect=expect):
                raise LeaseLost(
                    "write", device=f"node {node.name}", answer=f"fence {node.fence} is not the newest"
                )
            if events:
                now = tx.now()
                tx.insert(*(changed(event, at=now, fence=node.fence) for event in events))
            if also is not None:
                also(tx)
            tx.notify(f"node:{node.id}")
            return stored

        self.node = changed(node, **await self._store.transact(write))

    async def remember(self, facts: Mapping[str, Any]) -> None:
        """Adds to the facts of the work in hand, before its step ends."""
        work = self.node.work
        if work is None:
            raise LeaseLost("note a fact", device=f"node {self.node.name}", answer="its work has ended")
        await self.write({"work": changed(work, facts={**work.facts, **facts})})

    def event(
        self,
        name: str,
        text: str = "",
        *,
        source: str = "controller",
        step: str = "",
        instance: Instance | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> TimelineEvent:
        """A timeline entry of this node; time and fence are filled in when it is written."""
        return TimelineEvent(
            node_id=self.node.id,
            instance_id=instance.id if instance is not None else self.node.instance_id,
            at=self.node.updated_at,
            source=source,
            name=name,
            step=step,
            text=text,
            detail=detail or {},
        )


def _timed(changes: Mapping[str, Any], node: Node, now: datetime) -> Mapping[str, Any]:
    """A work that enters another step does so at the store's time."""
    work = changes.get("work")
    if work is None or (node.work is not None and node.work.step == work.step):
        return changes
    return {**changes, "work": changed(work, entered_at=now)}
