"""A released node is wiped before it is offered again."""

from __future__ import annotations

from collections.abc import Iterable

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach

USES = (("machine", "instance"), ("iscsi", "write"))
"""What a device saw of an instance: it ran, or its image was on its way to the disk."""

OFFERS = (("client", "node"), ("node", "state"))
"""What tells the state of a node. The client may look too late: the next instance is on it already."""


class WipedBeforeOffered:
    """When a node that was used becomes available, nothing of its instance can be found on its disk."""

    name = "wiped_before_offered"
    sources: tuple[str, ...] = ("machine", "iscsi", "client", "node")

    def __init__(self) -> None:
        self._used: set[str] = set()  # nodes that hold something of an instance

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        told = event.source, event.name
        if event.origin is Origin.DEVICE and told in USES:
            self._used.add(event.node)
        elif told in OFFERS and event.detail["state"] == "available" and event.node in self._used:
            yield from self._offered(index, event, look)

    def _offered(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        truth = look.disk(event.node)
        if truth is not None and not truth.blank:
            what = f"a whole {truth.image}" if truth.image else "traces of its last instance"
            yield Breach(
                promise=self.name,
                what=f"{event.node} is offered again, and {what} lies on its disk",
                at_s=event.t_s,
                event=index,
            )
        else:
            self._used.discard(event.node)

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        return ()
