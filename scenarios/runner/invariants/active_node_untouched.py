"""A node whose instance is ACTIVE is left alone."""

from __future__ import annotations

from collections.abc import Iterable

from scenarios.runner.invariants.invariant import Look, writes
from scenarios.runner.invariants.requests_seen import ASKED, RequestsSeen
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach

POWER = ("chassis.power.off", "chassis.power.cycle", "chassis.power.reset", "chassis.power.soft")
OUTLET = ("outlet.off", "outlet.reboot")


class ActiveNodeUntouched:
    """From ACTIVE until its client asks for something else, nobody cuts the instance's power, writes to its
    disk, or gives its board commands."""

    name = "active_node_untouched"
    sources: tuple[str, ...] = (*ASKED, "bmc", "pdu", "iscsi", "agent", "monitor")

    def __init__(self) -> None:
        self._seen = RequestsSeen()

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        self._seen.see(event)
        if event.origin is not Origin.DEVICE:
            return
        instance = self._seen.on(event.node)
        if instance is None or instance.state != "active" or instance.leaving:
            return
        if event.t_s < instance.since_s:
            return  # on machines, logs of devices are read a moment later than the client's answers
        if event.source in ("bmc", "pdu") and self._seen.powers(event.node, event.t_s, event.name):
            return
        if what := _harm(event):
            yield Breach(
                promise=self.name,
                what=f"{event.sender or 'somebody'} {what} of {event.node}, whose instance is active",
                at_s=event.t_s,
                event=index,
            )

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        return ()


def _harm(event: Event) -> str:
    if event.source == "bmc" and event.name in POWER and event.detail.get("result") == "ok":
        return "switched the power"
    if event.source == "pdu" and event.name in OUTLET and event.detail.get("result") == "ok":
        return "switched an outlet"
    if writes(event):
        return "wrote to a disk"
    if event.source == "agent" and event.name == "command" and event.detail.get("result", "ok") == "ok":
        return f"had {event.detail.get('command')} run on the agent"
    if event.source == "monitor" and event.name != "dmesg":
        return f"had {event.name} run by the monitor"
    return ""
