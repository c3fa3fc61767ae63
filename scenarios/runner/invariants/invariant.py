"""What an invariant is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from scenarios.runner.stage import DiskTruth
from scenarios.runner.trace import Event
from scenarios.runner.verdict import Breach


class Look(Protocol):
    """What the lab can find out at this moment without disturbing anything. None: it can't now."""

    def disk(self, node: str) -> DiskTruth | None:
        """What lies on the node's first disk."""
        ...

    def blank(self, node: str) -> bool | None:
        """Whether nothing of an earlier instance can be found on it, as far as this can be told now."""
        ...

    def running(self, node: str) -> str | None:
        """Name of the image whose system runs on the node; empty: none does."""
        ...

    def ran(self, node: str) -> Sequence[str]:
        """Asked at the end: what ran each time that `running` couldn't tell, in that order; "": none."""
        ...

    def served(self, node: str) -> str | None:
        """What the node would be given to boot if it asked now; empty: an address at most."""
        ...

    def secrets(self) -> Iterable[str]:
        """Everything that must not be told."""
        ...

    def told(self) -> Iterable[tuple[str, str]]:
        """Logs, answers, timelines and consoles: (where, text)."""
        ...


def writes(event: Event) -> bool:
    """Whether somebody was let in to write to a disk. On real machines who writes is seen by the login."""
    if event.source != "iscsi":
        return False
    return event.name == "write" or (event.name == "login" and event.detail.get("result") == "ok")


class Invariant(Protocol):
    """Watches one story. name: what a breach calls the promise. sources: of the events that it is shown."""

    name: str
    sources: tuple[str, ...]

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        """The next event of the trace from one of `sources`, at the moment it happens."""
        ...

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        """The story has ended: faults are healed, every request had its time."""
        ...
