"""Nothing is published for a node that nobody deploys."""

from __future__ import annotations

from collections.abc import Iterable

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.invariants.requests_seen import ASKED, RequestsSeen
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach


class NothingForIdleNodes:
    """A node that no request concerns gets an address and nothing to boot: while the story runs, by what it
    was sent; at its end, by what it would be given."""

    name = "nothing_for_idle_nodes"
    sources: tuple[str, ...] = (*ASKED, "http", "tftp")

    def __init__(self) -> None:
        self._seen = RequestsSeen()
        self._busy: set[str] = set()  # nodes that were used, and not offered again yet
        self._nodes: set[str] = set()

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        self._seen.see(event)
        if event.origin is Origin.STAGE and event.source == "client" and event.node:
            self._nodes.add(event.node)
            if event.name == "instance":
                self._busy.add(event.node)
            elif event.detail["state"] == "available":
                self._busy.discard(event.node)
        sent = event.origin is Origin.DEVICE and event.source in ("http", "tftp") and event.name == "sent"
        if sent and not self._concerned(event.node):
            yield Breach(
                promise=self.name,
                what=f"{event.node}, which nobody deploys, was sent {event.detail.get('file')}",
                at_s=event.t_s,
                event=index,
            )

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        for node in sorted(self._nodes):
            if not self._concerned(node) and (served := look.served(node)):
                yield Breach(
                    promise=self.name,
                    what=f"{node} is nobody's, and would still be given {served}",
                    at_s=now_s,
                )

    def _concerned(self, node: str) -> bool:
        return node in self._busy or self._seen.may_concern(node)
