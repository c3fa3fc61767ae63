"""A power distribution unit: outlets with relays, commands that take their time, mains that come and go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bmsim.devices.pdu_faults import PduFaults

VOLTS = 230


class Order(StrEnum):
    ON = "on"
    OFF = "off"
    REBOOT = "reboot"


class Told(StrEnum):
    """What a PDU says of an outlet."""

    ON = "on"
    OFF = "off"
    PENDING_ON = "pending on"
    PENDING_OFF = "pending off"


class Restore(StrEnum):
    """What outlets do when mains come back."""

    LAST = "last"
    ON = "on"
    OFF = "off"


class NoOutlet(Exception):
    """It has none of that number."""


class NoMains(Exception):
    """It has no power itself, so that no relay moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PduTiming:
    """on_s, off_s:   from a command until the relay has moved
    reboot_s:      how long a reboot's outlet is off
    sequence_s:    when mains come back, outlets follow each other at this pace: their loads all start at once
    """

    on_s: float = 0.0
    off_s: float = 0.0
    reboot_s: float = 5.0
    sequence_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Switched:
    """What hangs on the outlet has power now, or none."""

    outlet: int
    on: bool


@dataclass(frozen=True, slots=True)
class PduUpdate:
    """wake_at_s: when `update` is to be called at the latest; None: never."""

    outputs: tuple[Switched, ...]
    wake_at_s: float | None


@dataclass(slots=True)
class _Outlet:
    """closed: the relay. commanded: where it was last told to be. fed: what was last put out.
    moves: (when, closed) of what it was told and has not done. watts: what it gives while it is fed.
    last: where the PDU last drove the relay, whether it moved or not: what outlives a loss of mains.
    kept: where the relay is, or will be when its turn comes after that: what outlives the PDU's process.
    told_late: whether that command's end may be told after it was reached."""

    closed: bool
    commanded: bool
    watts: float
    last: bool
    kept: bool
    fed: bool = False
    moves: list[tuple[float, bool]] = field(default_factory=list)
    commanded_at_s: float = float("-inf")
    told_late: bool = False


class Pdu:
    """Times are any seconds that never go back; `update` is to be called when it said so.

    outlets: their relays at first, by number
    watts:   what hangs on which outlet draws
    now_s:   when it starts, with mains
    """

    def __init__(
        self,
        outlets: Mapping[int, bool],
        *,
        timing: PduTiming | None = None,
        restore: Restore = Restore.LAST,
        watts: Mapping[int, float] | None = None,
        now_s: float = 0.0,
    ) -> None:
        self.faults = PduFaults()
        self.mains = True
        self._started_s = now_s
        self._timing = timing or PduTiming()
        self._restore = restore
        self._outlets = {
            number: _Outlet(closed, closed, (watts or {}).get(number, 0.0), closed, closed)
            for number, closed in outlets.items()
        }

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(self._outlets)

    def give_faults(self, given: Iterable[tuple[str, int, Mapping[str, Any]]]) -> None:
        """All that there are now: name, outlet, parameters completed."""
        self.faults.update(given)

    def order(self, outlet: int, order: Order, now_s: float, *, delay_s: float = 0.0) -> None:
        """A command replaces what the outlet had not done yet. Raises NoOutlet, NoMains."""
        found = self._outlet(outlet)
        if not self.mains:
            raise NoMains("the PDU has no mains: switch them on first")
        start_s, timing = now_s + delay_s, self._timing
        off = (start_s + timing.off_s, False)
        match order:
            case Order.ON:
                found.moves = [(start_s + timing.on_s, True)]
            case Order.OFF:
                found.moves = [off]
            case Order.REBOOT:
                found.moves = [off, (off[0] + timing.reboot_s + timing.on_s, True)]
        found.commanded = found.moves[-1][1]
        found.commanded_at_s = now_s
        found.told_late = self.faults.tells_late(outlet)

    def switch_mains(self, on: bool, now_s: float) -> None:
        """Of the PDU itself. Idempotent. Its relays open, and close again when it tells them to: those that
        are welded give what mains there are, whatever it tells them."""
        if on == self.mains:
            return
        self.mains = on
        if on:
            self._started_s = now_s
        for place, (number, outlet) in enumerate(self._outlets.items()):
            outlet.moves = []
            outlet.closed = outlet.closed and self.faults.welded(number)
            if not on:
                continue
            wanted = outlet.last if self._restore is Restore.LAST else self._restore is Restore.ON
            outlet.commanded, outlet.last, outlet.kept = wanted, wanted, wanted or outlet.closed
            if wanted:
                outlet.moves = [(now_s + place * self._timing.sequence_s, True)]

    def update(self, now_s: float) -> PduUpdate:
        outputs = []
        for number, outlet in self._outlets.items():
            while outlet.moves and outlet.moves[0][0] <= now_s:
                self._move(number, outlet, outlet.moves.pop(0)[1])
            fed = self.mains and outlet.closed
            if fed != outlet.fed:
                outlet.fed = fed
                outputs.append(Switched(number, fed))
        times = [outlet.moves[0][0] for outlet in self._outlets.values() if outlet.moves]
        return PduUpdate(tuple(outputs), min(times, default=None))

    def uptime_s(self, now_s: float) -> float:
        """Since its own electronics started: with it, or when mains came back."""
        return now_s - self._started_s

    def told(self, outlet: int, now_s: float) -> Told:
        """What it says of the outlet. Raises NoOutlet."""
        found = self._outlet(outlet)
        state = found.commanded if self.faults.tells_command(outlet) else found.closed
        late = found.told_late and self.faults.pending(outlet, found.commanded_at_s, now_s)
        if found.moves or late:
            return Told.PENDING_ON if found.commanded else Told.PENDING_OFF
        return Told.ON if state else Told.OFF

    def relays(self) -> dict[int, bool]:
        """Where they are, or will be when mains are back and it is their turn."""
        return {number: outlet.kept for number, outlet in self._outlets.items()}

    def fed(self, outlet: int) -> bool:
        """Raises NoOutlet."""
        return self._outlet(outlet).fed

    def watts(self, outlet: int) -> float:
        """What is drawn from the outlet now. Raises NoOutlet."""
        found = self._outlet(outlet)
        return found.watts if found.fed else 0.0

    def milliamps(self, outlet: int) -> int:
        """Raises NoOutlet."""
        return round(self.watts(outlet) * 1000 / VOLTS)

    def _move(self, number: int, outlet: _Outlet, closed: bool) -> None:
        outlet.last = closed
        if not self.faults.holds(number, closed):
            outlet.closed = closed
        outlet.kept = outlet.closed

    def _outlet(self, number: int) -> _Outlet:
        found = self._outlets.get(number)
        if found is None:
            raise NoOutlet(f"there is no outlet {number}; there are {len(self._outlets)}")
        return found
