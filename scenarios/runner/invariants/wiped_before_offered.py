"""A released node is wiped before it is offered again."""

from __future__ import annotations

from collections.abc import Iterable

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach

USES = (("machine", "instance"), ("iscsi", "write"), ("iscsi", "login"))
"""What a device saw of an instance: it ran, or its image was on its way to the disk. On real machines who
writes is known by the login alone."""

OFFERS = (("client", "node"), ("node", "state"))
"""What tells the state of a node. The client may look too late: the next instance has it already."""


class WipedBeforeOffered:
    """When a node that was given to an instance becomes available, nothing of that can be found on its disk:
    looked at when it is offered, where the lab can look then. And at the end of the story, of any that is
    available then."""

    name = "wiped_before_offered"
    sources: tuple[str, ...] = ("machine", "iscsi", "client", "node")

    def __init__(self) -> None:
        self._used: set[str] = set()  # nodes that hold something of an instance, or may
        self._given: set[str] = set()  # nodes that some instance has had
        self._states: dict[str, str] = {}  # of nodes, as the store has them

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        told = event.source, event.name
        if told == ("node", "state"):
            self._states[event.node] = event.detail["state"]
        # What was made for an instance that never ran, no device has seen. One that is deleted may never
        # have come to its node.
        given = (
            told == ("client", "instance")
            and event.node
            and event.detail["state"] not in ("requested", "deleted")
        )
        if given or (event.origin is Origin.DEVICE and told in USES):
            self._used.add(event.node)
            self._given.add(event.node)
        elif told in OFFERS and event.node in self._used and self._available(event):
            yield from self._offered(event.node, event.t_s, index, look)

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        for node in sorted(self._given):
            if self._states.get(node) == "available":
                yield from self._offered(node, now_s, None, look)

    def _available(self, event: Event) -> bool:
        """The client's answer may be of a moment ago."""
        return {event.detail["state"], self._states.get(event.node, "available")} == {"available"}

    def _offered(self, node: str, at_s: float, index: int | None, look: Look) -> Iterable[Breach]:
        blank = look.blank(node)
        if blank is False:
            truth = look.disk(node)
            what = f"a whole {truth.image}" if truth and truth.image else "traces of its last instance"
            yield Breach(
                promise=self.name,
                what=f"{node} is offered again, and {what} lies on its disk",
                at_s=at_s,
                event=index,
            )
        elif blank:
            self._used.discard(node)
