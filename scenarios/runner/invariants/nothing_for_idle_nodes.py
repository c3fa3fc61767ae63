"""Nothing is published for a node that nobody deploys."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.invariants.requests_seen import ASKED, RequestsSeen
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach

LATE_S = 10.0
"""What was on its way when a deploy failed may arrive so much later."""


class _Failed(NamedTuple):
    """A deploy of which the client was told so, and whose instance nobody has had deleted."""

    instance: str
    since_s: float


class NothingForIdleNodes:
    """A node that no request concerns gets an address and nothing to boot: while the story runs, by what it
    was sent; a while after it was offered again, and at the end, by what it would be given. One whose deploy
    has failed keeps its instance, and is concerned by nothing until that is deleted."""

    name = "nothing_for_idle_nodes"
    sources: tuple[str, ...] = (*ASKED, "http", "tftp")

    def __init__(self) -> None:
        self._seen = RequestsSeen()
        self._busy: set[str] = set()  # nodes that were used, and not offered again yet
        self._failed: dict[str, _Failed] = {}  # by node
        self._nodes: set[str] = set()
        self._rightly: set[tuple[str, str]] = set()  # node and file that it asked for while it was concerned
        self._look_at: deque[tuple[float, str]] = deque()  # when, at which node that was offered again

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        yield from self._offered_again(event.t_s, look)
        self._seen.see(event)
        if event.origin is Origin.STAGE and event.source in ASKED and event.node:
            if event.source == "client":
                self._nodes.add(event.node)
            self._hear(event)
        if event.origin is Origin.DEVICE and self._is_given(event):
            yield Breach(
                promise=self.name,
                what=f"{event.node}, which nobody deploys, was sent {event.detail.get('file')}",
                at_s=event.t_s,
                event=index,
            )

    def _is_given(self, event: Event) -> bool:
        """Whether that sends something to a node that nothing concerned when it asked. Of one whose power is
        cut, as its device says, and which runs on, the rest of a file may come after it was offered again."""
        if event.source not in ("http", "tftp"):
            return False
        asked = event.node, str(event.detail.get("file"))
        concerned = self._concerned(event.node, event.t_s)
        if event.name in ("get", "read"):
            (self._rightly.add if concerned else self._rightly.discard)(asked)
        if event.name != "sent" or concerned:
            return False
        rightly = asked in self._rightly
        self._rightly.discard(asked)
        return not rightly

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        yield from self._still_given(sorted(self._nodes), inf, now_s, look)

    def _offered_again(self, now_s: float, look: Look) -> Iterable[Breach]:
        while self._look_at and self._look_at[0][0] <= now_s:
            _, node = self._look_at.popleft()
            yield from self._still_given([node], now_s, now_s, look)

    def _still_given(self, nodes: Iterable[str], at_s: float, now_s: float, look: Look) -> Iterable[Breach]:
        for node in nodes:
            if not self._concerned(node, at_s) and (served := look.served(node)):
                yield Breach(
                    promise=self.name,
                    what=f"{node} is nobody's, and would still be given {served}",
                    at_s=now_s,
                )

    def _hear(self, event: Event) -> None:
        node, detail = event.node, event.detail
        match event.source, event.name:
            case "client", "instance":
                self._busy.add(node)
                if detail["state"] == "error" and not self._seen.leaves(detail["instance"]):
                    self._failed[node] = _Failed(detail["instance"], event.t_s)
            case "client", "node" if detail["state"] == "available":
                self._busy.discard(node)
                self._look_at.append((event.t_s + LATE_S, node))
            case "request", "delete":
                failed = self._failed.get(node)
                if failed is not None and failed.instance == detail["instance"]:
                    del self._failed[node]

    def _concerned(self, node: str, at_s: float) -> bool:
        if failed := self._failed.get(node):
            return at_s <= failed.since_s + LATE_S
        return node in self._busy or self._seen.may_concern(node)
