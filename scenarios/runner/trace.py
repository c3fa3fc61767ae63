"""What happened in a story, in order: the one list that triggers, invariants and reports read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic_core import to_json

AT_ONCE = 1_000
"""Events that are written as JSON by one call, most of whose time goes into beginning."""


class Origin(StrEnum):
    """Whose word an event is. Invariants judge by devices and the stage; of the provisioner's they take alone
    whom a node was given to, and that it is available (docs/adr/0031)."""

    DEVICE = "device"  # a BMC, machine, disk, switch or file server saw it
    STAGE = "stage"  # the runner did it: a request, a fault, a healing
    PROVISIONER = "provisioner"  # the system under test says so


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """t_s:    seconds since the story began, virtual or real
    source: bmc | machine | dhcp | tftp | http | iscsi | disk | agent | ssh (devices),
            request | fault | host (stage), step | node | instance | lease (provisioner)
    node:   its name; empty for what concerns none
    name:   what, as the source calls it: "chassis.power.on", "discover", "sent", "started", …
    sender: who caused it, where the device can tell: a compute host's name
    detail: plain JSON values only
    """

    t_s: float
    origin: Origin
    source: str
    name: str
    node: str = ""
    sender: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line, equal for equal events whatever process writes it."""
        return to_json(self.to_row()).decode()

    def to_row(self) -> dict[str, Any]:
        return {
            "t_s": round(self.t_s, 6),
            "origin": str(self.origin),
            "source": self.source,
            "name": self.name,
            "node": self.node,
            "sender": self.sender,
            "detail": dict(self.detail),
        }

    @classmethod
    def from_json(cls, line: str) -> Event:
        row = json.loads(line)
        return cls(**{**row, "origin": Origin(row["origin"])})

    def to_line(self) -> str:
        """As a person reads it."""
        detail = " ".join(f"{key}={value}" for key, value in self.detail.items())
        by = f" by {self.sender}" if self.sender else ""
        return f"{self.t_s:10.3f} s  {self.node:8} {self.source:8} {self.name}{by} {detail}".rstrip()


class Trace:
    """Append-only. Listeners are called at once, in the order in which they came."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._listeners: tuple[Callable[[Event], None], ...] = ()

    def add(self, event: Event) -> None:
        self._events.append(event)
        for listener in self._listeners:
            listener(event)

    def listen(self, listener: Callable[[Event], None]) -> None:
        self._listeners += (listener,)

    def sha256(self) -> str:
        """Of all of it, as JSON."""
        digest = hashlib.sha256()
        for begin in range(0, len(self._events), AT_ONCE):
            rows = [event.to_row() for event in self._events[begin : begin + AT_ONCE]]
            digest.update(to_json(rows))
        return digest.hexdigest()

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, index: slice) -> list[Event]:
        return self._events[index]
