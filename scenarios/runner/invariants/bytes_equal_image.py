"""What an ACTIVE instance runs from is the image that was asked for, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.invariants.requests_seen import ASKED, RequestsSeen
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach


class BytesEqualImage:
    """Looked at when the client is told ACTIVE, when it has the instance deleted, and at the story's end,
    for it stays so. Where the lab can't look at the first, it does later."""

    name = "bytes_equal_image"
    sources: tuple[str, ...] = ASKED

    def __init__(self) -> None:
        self._seen = RequestsSeen()
        self._active: set[str] = set()  # nodes

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        self._seen.see(event)
        if event.origin is not Origin.STAGE:
            return
        if (event.source, event.name) == ("client", "instance"):
            self._active.discard(event.node)
            if event.detail["state"] == "active":
                self._active.add(event.node)
                yield from self._compared(event.node, event.t_s, index, look)
        elif (event.source, event.name) == ("request", "delete") and event.node in self._active:
            self._active.discard(event.node)
            yield from self._compared(event.node, event.t_s, index, look)

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        for node in sorted(self._active):
            yield from self._compared(node, now_s, None, look)

    def _compared(self, node: str, now_s: float, index: int | None, look: Look) -> Iterable[Breach]:
        truth, instance = look.disk(node), self._seen.on(node)
        if truth is not None and instance is not None and truth.image != instance.image:
            why = f" ({truth.unlike})" if truth.unlike else ""
            yield Breach(
                promise=self.name,
                what=f"the instance on {node} was called active, and its disk holds "
                f"{truth.image or 'no whole image'} instead of {instance.image}{why}",
                at_s=now_s,
                event=index,
            )
