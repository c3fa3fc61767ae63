"""One owner at a time, as the devices saw it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from scenarios.runner.invariants.invariant import Look, writes
from scenarios.runner.invariants.reigns import Reigns
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach

READING = ("chassis.status", "chassis.bootdev.get", "chassis.bootparam.get", "mc.info", "session.", "sol.")

LATER = re.compile(r"ok: in ([0-9.]+) s")
"""What a BMC's log says of a command that was acknowledged and is done after so long."""

LONGEST_COMMAND_S = 4.0
"""How long a command to a BMC may take: no host begins one that its lease doesn't outlast."""

SOON_S = 0.1
"""Clocks of a log are so fine."""


class OneOwner:
    """No command of host A after the first of host B under a newer fence: neither to the node's BMC, outlets,
    agent or monitor, nor to its disk, to which nobody is let in while another still is. What a BMC has
    acknowledged and does later is its sender's act as long as commands may take, which leases have to cover;
    after that it is the BMC's."""

    name = "one_owner"
    sources: tuple[str, ...] = ("lease", "bmc", "pdu", "agent", "monitor", "iscsi")

    def __init__(self) -> None:
        self._reigns = Reigns(self.name, did="acted on", had_done="taken it over")
        self._due: dict[tuple[str, str, str], list[float]] = {}
        """Node, process, command → when each that was given is done at last."""

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        if event.source == "lease":
            self._reigns.given(event)
            return
        if event.origin is not Origin.DEVICE or not event.sender or not _acts(event):
            return
        if event.source == "bmc" and self._was_due(event):
            return
        if writes(event) and (others := event.detail.get("beside")):
            what = f"{event.sender} was let in to the disk of {event.node} beside {' and '.join(others)}"
            yield Breach(promise=self.name, what=what, at_s=event.t_s, event=index)
        yield from self._reigns.broken_by(index, event)

    def _was_due(self, event: Event) -> bool:
        """Whether it was acknowledged too long ago, and is done now."""
        command = event.node, event.sender, event.name
        if later := LATER.fullmatch(event.detail["result"]):
            if float(later[1]) > LONGEST_COMMAND_S:
                self._due.setdefault(command, []).append(event.t_s + float(later[1]))
            return False
        due = self._due.get(command, [])
        if not due or event.t_s < min(due) - SOON_S:
            return False
        due.remove(min(due))
        return True

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        return ()


def _acts(event: Event) -> bool:
    """Whether the device was told to change something, and did what it was told."""
    if event.source == "bmc":
        result = str(event.detail.get("result"))
        return not event.name.startswith(READING) and (result == "ok" or bool(LATER.fullmatch(result)))
    if event.source == "pdu":
        return event.name.startswith("outlet.") and event.detail.get("result") == "ok"
    if event.source == "agent":
        return event.name == "command" and event.detail.get("result", "ok") == "ok"
    if event.source == "monitor":
        return event.name != "dmesg" and event.detail.get("result") == "ok"
    return writes(event)
