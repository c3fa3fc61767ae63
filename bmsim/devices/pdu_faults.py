"""How a PDU misbehaves: its active faults, asked at each place where they can strike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

UNREACHABLE, SLOW = "pdu.unreachable", "pdu.slow_queue"
STUCK, HALF_OFF, PENDING = "pdu.outlet_stuck", "pdu.half_off", "pdu.pending"


class PduFaults:
    """struck: how often each fault has done something to somebody, by fault and outlet. Of those that strike
    the whole PDU, any outlet that they were given for."""

    def __init__(self) -> None:
        self.struck: dict[tuple[str, int], int] = {}
        self._given: dict[tuple[str, int], Mapping[str, Any]] = {}

    def update(self, given: Iterable[tuple[str, int, Mapping[str, Any]]]) -> None:
        """All that there are now: name, outlet, parameters completed."""
        self._given = {(name, outlet): parameters for name, outlet, parameters in given}

    def unreachable(self) -> bool:
        """Whether it hears nothing. Asked once for each message."""
        return self._of_all(UNREACHABLE) is not None

    def each_s(self) -> float:
        """How long a message takes, served after those before it; 0: no time. Asked once for each message."""
        slow = self._of_all(SLOW)
        return float(slow["each_s"]) if slow is not None else 0.0

    def holds(self, outlet: int, closed: bool) -> bool:
        """Whether the relay stays as it is, told to move."""
        if (STUCK, outlet) in self._given:
            return self._strikes(STUCK, outlet)
        return not closed and (HALF_OFF, outlet) in self._given and self._strikes(HALF_OFF, outlet)

    def welded(self, outlet: int) -> bool:
        """Whether the relay stays as it is, whatever power its coil has."""
        return (STUCK, outlet) in self._given and self._strikes(STUCK, outlet)

    def tells_command(self, outlet: int) -> bool:
        """Whether it tells what it commanded, not what the relay did."""
        stuck = self._given.get((STUCK, outlet))
        return stuck is not None and bool(stuck["tells_command"])

    def tells_late(self, outlet: int) -> bool:
        """Whether what comes of the command that is given now is told late."""
        return (PENDING, outlet) in self._given

    def pending(self, outlet: int, commanded_at_s: float, now_s: float) -> bool:
        """Whether the outlet is said to be on its way, though it has arrived."""
        pending = self._given.get((PENDING, outlet))
        if pending is None or now_s >= commanded_at_s + pending["for_s"]:
            return False
        return self._strikes(PENDING, outlet)

    def _of_all(self, name: str) -> Mapping[str, Any] | None:
        for fault, outlet in self._given:
            if fault == name:
                self._strikes(name, outlet)
                return self._given[(name, outlet)]
        return None

    def _strikes(self, name: str, outlet: int) -> bool:
        self.struck[(name, outlet)] = self.struck.get((name, outlet), 0) + 1
        return True
