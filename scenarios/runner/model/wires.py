"""The wires of a rack: every message between two ends takes its time, and what faults do to it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Generic, NamedTuple, TypeVar

from scenarios.runner.processes import WORLD

T = TypeVar("T")

LATENCY_S = 0.0005
JITTER_S = 0.0005
"""One way through a switch, and what it varies by: enough that two messages may overtake each other."""

CUTTING = ("net.partition", "host.partition", "db.restart")
"""Faults by which nothing passes."""

OF_STORE = ("host.partition", "db.restart", "db.slow")
"""Faults that can concern the way to the store; no other does."""


class Link(NamedTuple):
    """host: a compute host. node: a node, or its BMC when the protocol is ipmi; empty: the store or a PDU.
    fed: by that PDU, the nodes."""

    protocol: str  # ipmi | snmp | dhcp | tftp | http | agent | iscsi | ssh | store
    host: str
    node: str
    fed: tuple[str, ...] = ()


@dataclass(slots=True)
class _Fault:
    name: str
    node: str
    host: str
    parameters: Mapping[str, Any]
    random: Random
    seen: Counter[tuple[str, bool]] = field(default_factory=Counter)  # by protocol and way
    told: set[str] = field(default_factory=set)  # nodes that only share what was struck

    def concerns(self, link: Link, to_node: bool) -> bool:
        to_store = link.protocol == "store"
        if self.host and self.host != link.host:
            return False
        if self.name.startswith("db.") or to_store:
            return to_store and self._concerns_store(to_node)
        if self.name == "host.partition":
            return self.parameters["from"] != "store" and not (to_node and self.parameters["one_way"])
        if self.node and self.node != link.node and self.node not in link.fed:
            return False
        protocols = self.parameters.get("protocols")
        if protocols and link.protocol not in protocols:
            return False
        direction = self.parameters.get("direction")
        return direction in (None, "both") or (direction == "to_node") == to_node

    def _concerns_store(self, to_store: bool) -> bool:
        if self.name == "host.partition":
            return self.parameters["from"] != "nodes" and not (to_store and self.parameters["one_way"])
        return self.name in OF_STORE

    def struck(self, link: Link) -> Iterator[Link]:
        """As it is told, node by node. What strikes a PDU strikes all who hang on it: of the others that is
        told once."""
        if not self.node or not link.fed:
            yield link
            return
        yield link._replace(node=self.node)
        for other in link.fed:
            if other != self.node and other not in self.told:
                self.told.add(other)
                yield link._replace(node=other)


class Wires:
    """on_struck: told of each message that a fault struck: fault, link (of a PDU with the node that was
    struck by it), what became of the message."""

    def __init__(
        self,
        random: Random,
        on_struck: Callable[[str, Link, str], None],
    ) -> None:
        self._random = random
        self._on_struck = on_struck
        self._faults: dict[tuple[str, str, str], _Fault] = {}

    def inject(self, name: str, node: str, host: str, parameters: Mapping[str, Any], random: Random) -> None:
        self._faults[(name, node, host)] = _Fault(name, node, host, parameters, random)

    def heal(self, name: str, node: str, host: str) -> None:
        self._faults.pop((name, node, host), None)

    @property
    def faulty(self) -> bool:
        """Whether anything is wrong with any of them: who sends many messages for one purpose may send
        one in their place as long as nothing is."""
        return bool(self._faults)

    def send(self, link: Link, to_node: bool, deliver: Callable[[], None]) -> None:
        """Delivers one message: once, twice, late or never."""
        for delay_s in self.journey(link, to_node):
            # The world's: a packet on its way outlives who sent it.
            asyncio.get_running_loop().call_later(delay_s, deliver, context=WORLD)

    def journey(self, link: Link, to_node: bool) -> tuple[float, ...]:
        """After which times the copies of one message arrive; none: it is lost."""
        delay_s = LATENCY_S + JITTER_S * self._random.random()
        if not self._faults:
            return (delay_s,)
        delays = [delay_s]
        for fault in self._faults.values():
            if delays and fault.concerns(link, to_node):
                delays = self._strike(fault, link, to_node, delays)
        return tuple(delays)

    def cut(self, link: Link) -> bool:
        """Whether a partition lies between the two ends, in either direction: no connection can be made.
        Asked by whoever wants to make or use one."""
        cutting = [
            fault
            for fault in self._faults.values()
            if fault.name in CUTTING and (fault.concerns(link, True) or fault.concerns(link, False))
        ]
        for fault in cutting:
            self._struck(fault, link, "lost")
        return bool(cutting)

    async def ask(
        self, link: Link, serve: Callable[[], T | None], *, timeout_s: float, resend_s: float
    ) -> T | None:
        """A question over datagrams, sent again every `resend_s`, and its first answer. None: none came in
        time, or `serve` gave none (it didn't hear, or chose silence). `serve` runs for each copy that
        arrives."""
        question = _Question(self, link, serve, timeout_s, resend_s)
        question.send()
        try:
            return await question.answered
        finally:
            question.end()

    def _strike(self, fault: _Fault, link: Link, to_node: bool, delays: list[float]) -> list[float]:
        fault.seen[link.protocol, to_node] += 1
        parameters, draw = fault.parameters, fault.random.random
        match fault.name:
            case "net.partition" | "host.partition" | "db.restart":
                self._struck(fault, link, "lost")
                return []
            case "net.drop":
                nth = parameters.get("nth")
                seen = fault.seen[link.protocol, to_node]
                lost = seen == nth if nth is not None else draw() < parameters["probability"]
                if lost:
                    self._struck(fault, link, "lost")
                    return []
            case "net.delay":
                if draw() < parameters.get("probability", 1.0):
                    self._struck(fault, link, "late")
                    return [delay_s + parameters["delay_s"] for delay_s in delays]
            case "db.slow":
                self._struck(fault, link, "late")
                return [delay_s + parameters["delay_s"] for delay_s in delays]
            case "net.duplicate":
                if draw() < parameters["probability"]:
                    self._struck(fault, link, "twice")
                    return [*delays, delays[-1] + 0.01 * draw()]
            case "net.reorder":
                if draw() < parameters["probability"]:
                    self._struck(fault, link, "overtaken")
                    return [delay_s + 0.05 * draw() for delay_s in delays]
        return delays

    def _struck(self, fault: _Fault, link: Link, what: str) -> None:
        for told in fault.struck(link):
            self._on_struck(fault.name, told, what)


class _Question(Generic[T]):
    """In flight. No closures, which would refer to each other: of ten thousand nodes' questions, garbage."""

    __slots__ = ("_end_s", "_link", "_loop", "_resend_s", "_serve", "_timer", "_wires", "answered")

    def __init__(
        self, wires: Wires, link: Link, serve: Callable[[], T | None], timeout_s: float, resend_s: float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[T | None] = self._loop.create_future()
        self._wires = wires
        self._link = link
        self._serve = serve
        self._end_s = self._loop.time() + timeout_s
        self._resend_s = resend_s
        self._timer: asyncio.TimerHandle | None = None

    def send(self) -> None:
        left_s = self._end_s - self._loop.time()
        if left_s > 0:
            self._wires.send(self._link, True, self._arrived)
            self._timer = self._loop.call_later(min(self._resend_s, left_s), self.send)
        else:
            settle(self.answered, None)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arrived(self) -> None:
        answer = self._serve()
        if answer is not None:
            self._wires.send(self._link, False, lambda: settle(self.answered, answer))


def settle(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)
