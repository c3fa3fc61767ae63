"""Which machines are off: nobody writes to the disk of one, and its file can be read meanwhile."""

from __future__ import annotations

from scenarios.runner.trace import Event, Origin

SWITCHES_ON = frozenset(
    (
        *(("bmc", f"chassis.power.{verb}") for verb in ("on", "cycle", "reset")),
        *(("pdu", f"outlet.{verb}") for verb in ("on", "reboot")),
        ("machine", "on"),
        ("feed", "power.back"),
    )
)


class MachinesOff:
    """`see` is shown each event. A machine is off once it was seen to go off, until anything may switch it
    on. Logs are read a moment later than they are written: one that starts in this moment writes nothing yet.
    """

    def __init__(self) -> None:
        self._off: set[str] = set()

    def see(self, event: Event) -> None:
        if event.origin is not Origin.DEVICE:
            return
        if (event.source, event.name) == ("machine", "off"):
            self._off.add(event.node)
        elif (event.source, event.name) in SWITCHES_ON:
            self._off.discard(event.node)

    def __contains__(self, node: str) -> bool:
        return node in self._off
