"""No process of the provisioner ends by a defect of its own."""

from __future__ import annotations

from collections.abc import Iterable

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach


class NoDefect:
    """One ends when it is told to, or knows why it must: its lease is another's. Whoever starts it again sees
    how it ended."""

    name = "no_defect"
    sources: tuple[str, ...] = ("host",)

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        if event.origin is Origin.STAGE and event.name == "crashed":
            yield Breach(
                promise=self.name,
                what=f"the process of {event.detail['host']} ended by a defect: {event.detail['error']}",
                at_s=event.t_s,
                event=index,
            )

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        return ()
