"""No process of the provisioner, and nothing that was asked of it, ends by a defect of its own."""

from __future__ import annotations

from collections.abc import Iterable

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach

DEFECT = "defect"
"""The code of such a failure."""


class NoDefect:
    """A process ends when it is told to, or knows why it must: its lease is another's. Whoever starts it anew
    sees how it ended. That a work has failed so, the client is told of its instance, or of its node."""

    name = "no_defect"
    sources: tuple[str, ...] = ("host", "client")

    def __init__(self) -> None:
        self._told: set[str] = set()  # nodes of which the client was told so

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        if event.origin is not Origin.STAGE:
            return
        if event.source == "host" and event.name == "crashed":
            ended = f"the process of {event.detail['host']} ended by a defect: {event.detail['error']}"
            yield Breach(promise=self.name, what=ended, at_s=event.t_s, event=index)
        if event.detail.get("failure") == DEFECT and event.node not in self._told:
            self._told.add(event.node)
            failed = f"work on {event.node} failed by a defect of the provisioner, the client was told"
            yield Breach(promise=self.name, what=failed, at_s=event.t_s, event=index)

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        return ()
