"""What is common to promises about the disk of an ACTIVE instance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.invariants.requests_seen import ASKED, RequestsSeen, Wanted
from scenarios.runner.stage import DiskTruth
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach


class ActiveDisk:
    """Looked at when the client is told ACTIVE, when it has the instance deleted, and at the story's end,
    for it stays so. Where the lab can't look at the first, it does later."""

    name = ""
    sources: tuple[str, ...] = ASKED

    def __init__(self) -> None:
        self._seen = RequestsSeen()
        self._active: set[str] = set()  # nodes

    def wrong(self, truth: DiskTruth, instance: Wanted) -> Iterator[str]:
        """What the node's disk holds otherwise than was asked for, as a sentence goes on: "its disk …"."""
        raise NotImplementedError

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        self._seen.see(event)
        if event.origin is not Origin.STAGE:
            return
        if (event.source, event.name) == ("client", "instance"):
            self._active.discard(event.node)
            if event.detail["state"] == "active":
                self._active.add(event.node)
                yield from self._looked_at(event.node, event.t_s, index, look)
        elif (event.source, event.name) == ("request", "delete") and event.node in self._active:
            self._active.discard(event.node)
            yield from self._looked_at(event.node, event.t_s, index, look)

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        for node in sorted(self._active):
            yield from self._looked_at(node, now_s, None, look)

    def _looked_at(self, node: str, now_s: float, index: int | None, look: Look) -> Iterable[Breach]:
        truth, instance = look.disk(node), self._seen.on(node)
        if truth is None or instance is None:
            return
        for told in self.wrong(truth, instance):
            what = f"the instance on {node} was called active, and its disk {told}"
            yield Breach(promise=self.name, what=what, at_s=now_s, event=index)
