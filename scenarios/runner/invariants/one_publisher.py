"""A booting node is served by one compute host at a time, and by files of its own alone."""

from __future__ import annotations

from collections.abc import Iterable

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach


class OnePublisher:
    """No two compute hosts answer one DHCP request, and no file meant for another node is sent. A rival on
    the wire is no compute host.

    A machine asks again under the number of its exchange, and the next process may answer: when who answered
    before has died since, or the node has another owner. The one before may not come back then.
    """

    name = "one_publisher"
    sources: tuple[str, ...] = ("host", "lease", "dhcp", "http", "tftp")

    def __init__(self) -> None:
        self._answered: dict[tuple[str, str], str] = {}  # node, exchange → who

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        if event.source == "host" and event.name in ("killed", "ended"):
            self._died(str(event.detail["host"]))
        if event.source == "lease":
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
        elif event.source in ("http", "tftp") and event.name == "sent":
            meant_for = event.detail.get("offered_to", event.node)
            if meant_for != event.node:
                yield Breach(
                    promise=self.name,
                    what=f"{event.node} was given {event.detail.get('file')}, which is {meant_for}'s",
                    at_s=event.t_s,
                    event=index,
                )

    def _died(self, host: str) -> None:
        """A process that was started again is called HOST#N."""
        self._forget(key for key, who in self._answered.items() if who.partition("#")[0] == host)

    def _forget(self, exchanges: Iterable[tuple[str, str]]) -> None:
        for exchange in tuple(exchanges):
            del self._answered[exchange]

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        return ()
