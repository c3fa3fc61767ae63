"""One owner at a time, as the devices saw it."""

from __future__ import annotations

from collections.abc import Iterable

from scenarios.runner.invariants.invariant import Look, writes
from scenarios.runner.invariants.reigns import Reigns
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach

READING = ("chassis.status", "chassis.bootdev.get", "chassis.bootparam.get", "mc.info", "session.", "sol.")


class OneOwner:
    """No command of host A after the first of host B under a newer fence: neither to the node's BMC, outlets,
    agent or monitor, nor to its disk."""

    name = "one_owner"
    sources: tuple[str, ...] = ("lease", "bmc", "pdu", "agent", "monitor", "iscsi")

    def __init__(self) -> None:
        self._reigns = Reigns()

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        if event.source == "lease":
            self._reigns.given(event)
        elif event.origin is Origin.DEVICE and event.sender and _acts(event):
            reign = self._reigns.usurped(event)
            if reign is not None:
                yield Breach(
                    promise=self.name,
                    what=f"{event.sender} acted on {event.node} ({event.source} {event.name}) "
                    f"after {reign.owner} had taken it over at {reign.since_s:.1f} s",
                    at_s=event.t_s,
                    event=index,
                )

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        return ()


def _acts(event: Event) -> bool:
    """Whether the device was told to change something, and did what it was told."""
    if event.source == "bmc":
        return not event.name.startswith(READING) and event.detail.get("result") == "ok"
    if event.source == "pdu":
        return event.name.startswith("outlet.") and event.detail.get("result") == "ok"
    if event.source == "agent":
        return event.name == "command" and event.detail.get("result", "ok") == "ok"
    if event.source == "monitor":
        return event.name != "dmesg" and event.detail.get("result") == "ok"
    return writes(event)
