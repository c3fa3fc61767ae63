"""A released node is wiped before it is offered again."""

from __future__ import annotations

from collections.abc import Iterable

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach


class WipedBeforeOffered:
    """When a node that was used is told to be available, nothing of its instance can be found on its disk;
    and the next instance's image is written to a disk that was blank when that began."""

    name = "wiped_before_offered"

    def __init__(self) -> None:
        self._used: set[str] = set()  # nodes on which an instance ran

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        if event.origin is Origin.DEVICE and (event.source, event.name) == ("machine", "instance"):
            self._used.add(event.node)
        offered = event.origin is Origin.STAGE and (event.source, event.name) == ("client", "node")
        if not offered or event.detail["state"] != "available" or event.node not in self._used:
            return
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
