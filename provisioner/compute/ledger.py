"""Fenced writes: the only way in which a compute host changes a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from provisioner.core.errors import LeaseLost
from provisioner.core.fields import changed
from provisioner.core.model import Instance, Node, TimelineEvent, Work
from provisioner.core.readable import all_readable, readable
from provisioner.protocols.store import Store, Tx


class NodeLedger:
    """One node's row and timeline, as its owner writes them.

    Keeps the last state it wrote, so that a step costs one conditional update and no read. Fields that others
    may write (maintenance, …) are not kept: ask the store.
    """

    def __init__(self, store: Store, node: Node) -> None:
        self._store = store
        self.node = node
        self._noted: dict[str, Any] = {}
        self._noted_events: list[TimelineEvent] = []
        self._noted_also: list[Callable[[Tx], None]] = []

    def note(
        self,
        changes: Mapping[str, Any],
        *events: TimelineEvent,
        also: Callable[[Tx], None] | None = None,
    ) -> None:
        """Known here at once, and stored with the next write, which the end of a step is at the latest. For
        what a step that is entered again finds out again: a process that dies before takes it along."""
        self.node = changed(self.node, **changes)
        self._noted |= changes
        self._noted_events += events
        if also is not None:
            self._noted_also.append(also)

    def note_facts(self, facts: Mapping[str, Any]) -> None:
        """Adds to the facts of the work in hand, as `note`."""
        self.note({"work": self._with(facts)})

    async def write(
        self,
        changes: Mapping[str, Any],
        *events: TimelineEvent,
        also: Callable[[Tx], None] | None = None,
    ) -> None:
        """Changes the row and appends to the timeline in one transaction, with what was noted before.

        Raises LeaseLost when the row or its fence is no longer ours; nothing was written then.
        """
        self.wrote(await self._store.transact(lambda tx: self.write_in(tx, changes, *events, also=also)))

    def write_in(
        self,
        tx: Tx,
        changes: Mapping[str, Any],
        *events: TimelineEvent,
        also: Callable[[Tx], None] | None = None,
    ) -> Mapping[str, Any]:
        """As `write`, as part of a transaction. Once that is stored, `wrote` is to hear what this returns."""
        node, now = self.node, tx.now()
        stored = {**self._noted, **_timed(changes, node, now)}
        if not tx.update(Node, node.id, stored, expect=self._expected()):
            raise LeaseLost(
                "write",
                device=f"node {node.name}",
                answer=f"fence {node.fence} is not the newest, or another host's",
            )
        if events or self._noted_events:
            fence = node.fence
            tx.insert(*(changed(event, at=now, fence=fence) for event in (*self._noted_events, *events)))
        for more in self._noted_also:
            more(tx)
        if also is not None:
            also(tx)
        tx.notify(f"node:{node.id}")
        return stored

    def _expected(self) -> Mapping[str, Any]:
        """Of the row that is to be changed. A database that has forgotten its last moments may have given
        another host the same fence."""
        return {"fence": self.node.fence, "owner": self.node.owner}

    def wrote(self, stored: Mapping[str, Any]) -> None:
        self.node = changed(self.node, **stored)
        self._noted, self._noted_events, self._noted_also = {}, [], []

    async def remember(self, facts: Mapping[str, Any]) -> None:
        """Adds to the facts of the work in hand, before its step ends."""
        await self.write({"work": self._with(facts)})

    def _with(self, facts: Mapping[str, Any]) -> Work:
        work = self.node.work
        if work is None:
            raise LeaseLost("note a fact", device=f"node {self.node.name}", answer="its work has ended")
        return changed(work, facts={**work.facts, **facts})

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
            # What nodes and devices said may stand in it.
            text=readable(text),
            detail=all_readable(detail or {}),
        )


def _timed(changes: Mapping[str, Any], node: Node, now: datetime) -> Mapping[str, Any]:
    """A work that enters another step does so at the store's time."""
    work = changes.get("work")
    if work is None or (node.work is not None and node.work.step == work.step):
        return changes
    return {**changes, "work": changed(work, entered_at=now)}
