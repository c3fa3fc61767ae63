"""One owner at a time, as the devices saw it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach

READING = ("chassis.status", "chassis.bootdev.get", "chassis.bootparam.get", "mc.info", "session.", "sol.")


@dataclass(slots=True)
class _Reign:
    owner: str
    since_s: float
    before: frozenset[str]  # those who acted before it took over


class OneOwner:
    """Once another compute host has acted on a node, the one before it acts no more: neither on its BMC
    nor on its agent or disk, unless it has been started anew meanwhile (and is another process)."""

    name = "one_owner"

    def __init__(self) -> None:
        self._reigns: dict[str, _Reign] = {}

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        if event.origin is not Origin.DEVICE or not event.sender or not _acts(event):
            return
        reign = self._reigns.get(event.node)
        if reign is None or reign.owner == event.sender:
            self._reigns.setdefault(event.node, _Reign(event.sender, event.t_s, frozenset()))
        elif event.sender in reign.before:
            yield Breach(
                promise=self.name,
                what=f"{event.sender} acted on {event.node} ({event.source} {event.name}) "
                f"after {reign.owner} had taken it over at {reign.since_s:.1f} s",
                at_s=event.t_s,
                event=index,
            )
        else:
            before = reign.before | {reign.owner}
            self._reigns[event.node] = _Reign(event.sender, event.t_s, before)

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        return ()


def _acts(event: Event) -> bool:
    """Whether the device was told to change something, and did what it was told."""
    if event.source == "bmc":
        return not event.name.startswith(READING) and event.detail.get("result") == "ok"
    if event.source == "agent":
        return event.name == "command"
    return event.source == "iscsi" and event.name == "write"
