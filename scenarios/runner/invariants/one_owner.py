"""One owner at a time, as the devices saw it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

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
    nor on its agent, monitor or disk, unless it has been started anew meanwhile (and is another process), or
    the store gave it the node anew, under a newer fence."""

    name = "one_owner"
    sources: tuple[str, ...] = ("lease", "bmc", "pdu", "agent", "iscsi")

    def __init__(self) -> None:
        self._reigns: dict[str, _Reign] = {}
        self._fences: dict[str, int] = {}

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        if event.source == "lease":
            self._given(event)
            return
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

    def _given(self, event: Event) -> None:
        fence, owner = event.detail.get("fence", 0), event.detail["owner"]
        if fence > self._fences.get(event.node, 0) and (reign := self._reigns.get(event.node)):
            before = {sender for sender in reign.before if sender.partition("#")[0] != owner}
            self._reigns[event.node] = replace(reign, before=frozenset(before))
        self._fences[event.node] = max(fence, self._fences.get(event.node, 0))

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        return ()


def _acts(event: Event) -> bool:
    """Whether the device was told to change something, and did what it was told."""
    if event.source == "bmc":
        return not event.name.startswith(READING) and event.detail.get("result") == "ok"
    if event.source == "pdu":
        return event.name.startswith("outlet.") and event.detail.get("result") == "ok"
    if event.source == "agent":
        return event.name == "command"
    if event.source == "monitor":
        return event.name != "dmesg" and event.detail.get("result") == "ok"
    return event.source == "iscsi" and event.name == "write"
