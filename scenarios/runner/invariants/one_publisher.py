"""A booting node is served by one compute host at a time, and by files of its own alone."""

from __future__ import annotations

from collections.abc import Iterable

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.invariants.reigns import Reigns
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach

HELLO = "hello"
"""What an agent's report is called among files."""


class OnePublisher:
    """No host A offers a node anything by DHCP, and sends it no file by HTTP or TFTP, after the first that
    host B did so under a newer fence; no two answer one DHCP request; and no file meant for another node is
    sent. A rival on the wire is no compute host.

    Roots by NFS are served on, to machines that live on them. Nor is the answer to an agent's report judged:
    it goes to who booted it, and says nothing but that it was heard.

    A machine asks again under the number of its exchange, and the next process may answer: when who answered
    before has died since, or the node has another owner. The one before may not come back then.
    """

    name = "one_publisher"
    sources: tuple[str, ...] = ("host", "lease", "dhcp", "http", "tftp")

    def __init__(self) -> None:
        self._reigns = Reigns(self.name, did="served", had_done="begun to")
        self._answered: dict[tuple[str, str], str] = {}  # node, exchange → who

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        if event.source == "host" and event.name in ("killed", "ended"):
            self._died(str(event.detail["host"]))
        if event.source == "lease":
            self._reigns.given(event)
            self._forget(key for key in self._answered if key[0] == event.node)
        if event.origin is not Origin.DEVICE:
            return
        if event.source == "dhcp" and event.name == "offer" and event.sender:
            exchange = (event.node, str(event.detail.get("exchange", index)))
            first = self._answered.setdefault(exchange, event.sender)
            if first != event.sender:
                yield Breach(
                    promise=self.name,
                    what=f"{first} and {event.sender} both offered {event.node} something to boot",
                    at_s=event.t_s,
                    event=index,
                )
                return
            yield from self._served(index, event)
        elif event.source in ("http", "tftp") and event.name == "sent":
            yield from self._served(index, event)
            meant_for = event.detail.get("offered_to", event.node)
            if meant_for != event.node:
                yield Breach(
                    promise=self.name,
                    what=f"{event.node} was given {event.detail.get('file')}, which is {meant_for}'s",
                    at_s=event.t_s,
                    event=index,
                )

    def _served(self, index: int, event: Event) -> Iterable[Breach]:
        if not event.sender or event.detail.get("file") == HELLO:
            return ()
        return self._reigns.broken_by(index, event)

    def _died(self, host: str) -> None:
        """A process that was started again is called HOST#N."""
        self._forget(key for key, who in self._answered.items() if who.partition("#")[0] == host)

    def _forget(self, exchanges: Iterable[tuple[str, str]]) -> None:
        for exchange in tuple(exchanges):
            del self._answered[exchange]

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        return ()
