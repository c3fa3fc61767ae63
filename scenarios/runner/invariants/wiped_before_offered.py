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
"""What tells the state of a node. The client may look too late: the next instance is on it already."""


class WipedBeforeOffered:
    """When a node that was used becomes available, nothing of its instance can be found on its disk. Nor at
    the end of the story on any that is available then: the lab may not have been able to look before, and
    what was made for an instance that never ran, no device has seen."""

    name = "wiped_before_offered"
    sources: tuple[str, ...] = ("machine", "iscsi", "client", "node")

    def __init__(self) -> None:
        self._used: set[str] = set()  # nodes that hold something of an instance
        self._given: set[str] = set()  # nodes that some instance has had
        self._states: dict[str, str] = {}  # of nodes, as the store has them

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        told = event.source, event.name
        if told == ("client", "instance") and event.node and event.detail["state"] != "requested":
            self._given.add(event.node)
        if told == ("node", "state"):
            self._states[event.node] = event.detail["state"]
        if event.origin is Origin.DEVICE and told in USES:
            self._used.add(event.node)
            self._given.add(event.node)
        elif told in OFFERS and event.detail["state"] == "available" and event.node in self._used:
            yield from self._offered(event.node, event.t_s, index, look)

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        for node in sorted(self._given):
            if self._states.get(node) == "available":
                yield from self._offered(node, now_s, None, look)

    def _offered(self, node: str, at_s: float, index: int | None, look: Look) -> Iterable[Breach]:
        truth = look.disk(node)
        if truth is not None and not truth.blank:
            what = f"a whole {truth.image}" if truth.image else "traces of its last instance"
            yield Breach(
                promise=self.name,
                what=f"{node} is offered again, and {what} lies on its disk",
                at_s=at_s,
                event=index,
            )
        else:
            self._used.discard(node)
