"""What a PDU shows by SNMP: the objects of its family's MIB, read from and written to the model."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bmsim.devices.pdu import Order, Pdu
from bmsim.devices.pdu_families import Column, PduFamily, place

Oid = tuple[int, ...]
Value = int | str | Oid

ENTERPRISES: Oid = (1, 3, 6, 1, 4, 1)
SYSTEM: Oid = (1, 3, 6, 1, 2, 1, 1)
"""SNMPv2-MIB, RFC 3418."""

SYS_OBJECT_ID: Oid = (*SYSTEM, 2, 0)
SYS_UP_TIME: Oid = (*SYSTEM, 3, 0)


class TimeTicks(int):
    """Hundredths of a second, modulo 2^32 (RFC 2578 §7.1.8): they begin anew after 497 days."""


class NotWritable(Exception):
    """The object is there, and can only be read."""


class WrongType(Exception):
    """The object is an INTEGER, and was to be something else."""


class WrongValue(Exception):
    """The object can't have that value."""


class NoObject(Exception):
    """There is no such object."""


@dataclass(frozen=True, slots=True)
class _Object:
    read: Callable[[float], Value]
    orders: Mapping[int, Order] | None = None  # by the value written; None: can't be written
    outlet: int = 0
    delays: bool = False  # the value written is a delay in seconds, of the only order there is


class PduMib:
    """Times as of the model. name: sysName. unit_outlets: how many each unit of a chain has; the model's are
    counted through. None: there is one unit, of whose outlets the model may have some alone."""

    def __init__(self, pdu: Pdu, family: PduFamily, name: str, unit_outlets: int | None = None) -> None:
        self._pdu = pdu
        self.family = family
        self._unit_outlets = unit_outlets
        self._objects: dict[Oid, _Object] = {}
        self._add_system(name)
        for column in family.columns:
            told: dict[Oid, list[int]] = {}
            for outlet in pdu.numbers:
                told.setdefault(self._oid(column, outlet), []).append(outlet)
            for oid, outlets in told.items():
                self._objects[oid] = _Object(
                    self._reader(column, outlets), column.orders or None, outlets[0], column.delays
                )
            if column.missing is not None:
                self._add_missing(column, column.missing)
        self._order = sorted(self._objects)

    def state_object(self, outlet: int) -> Oid:
        """Where it tells the outlet's state."""
        column = next(column for column in self.family.columns if column.states)
        return self._oid(column, outlet)

    def get(self, oid: Oid, now_s: float) -> Value:
        """Raises NoObject."""
        found = self._objects.get(oid)
        if found is None:
            raise NoObject
        return found.read(now_s)

    def following(self, oid: Oid) -> Oid | None:
        """The first object after that; None: there is none."""
        place = bisect_right(self._order, oid)
        return self._order[place] if place < len(self._order) else None

    def command(self, oid: Oid, value: object) -> tuple[int, Order, float]:
        """Which outlet is told what, with which delay in s. Raises NoObject, NotWritable, WrongType,
        WrongValue."""
        found = self._objects.get(oid)
        if found is None:
            raise NoObject
        if found.orders is None:
            raise NotWritable
        if not isinstance(value, int):
            raise WrongType
        if found.delays:
            if value < 0:
                raise WrongValue
            return found.outlet, next(iter(found.orders.values())), float(value)
        order = found.orders.get(value)
        if order is None:
            raise WrongValue
        return found.outlet, order, 0.0

    def _add_system(self, name: str) -> None:
        family = self.family
        texts = {1: family.description, 4: "", 5: name, 6: ""}  # sysDescr, sysContact, sysName, sysLocation
        for number, text in texts.items():
            self._objects[(*SYSTEM, number, 0)] = _Object(lambda now_s, text=text: text)  # type: ignore[misc]
        system = ENTERPRISES + _numbers(family.system)
        self._objects[SYS_OBJECT_ID] = _Object(lambda now_s: system)
        self._objects[SYS_UP_TIME] = _Object(self._up_time)

    def _add_missing(self, column: Column, says: int) -> None:
        most = max(self._pdu.numbers)
        has = self._unit_outlets or most
        for unit in range(1, most // has + 1):
            for number in range(has + 1, self.family.outlets + 1):
                self._objects[self._numbered(column, unit, number)] = _Object(lambda now_s: says)

    def _up_time(self, now_s: float) -> TimeTicks:
        return TimeTicks(int(self._pdu.uptime_s(now_s) * 100) % 2**32)

    def _oid(self, column: Column, outlet: int) -> Oid:
        return self._numbered(column, *self._place(outlet))

    def _numbered(self, column: Column, unit: int, number: int) -> Oid:
        text = column.oid.format(outlet=self.family.arc(number), unit=self.family.unit(unit))
        return ENTERPRISES + _numbers(text)

    def _place(self, outlet: int) -> tuple[int, int]:
        return (1, outlet) if self._unit_outlets is None else place(outlet, self._unit_outlets)

    def _reader(self, column: Column, outlets: Sequence[int]) -> Callable[[float], Value]:
        """outlets: one, or all of the unit or the PDU: what they draw is added up."""
        pdu = self._pdu
        if column.milliamps_per_unit:
            per_ma = column.milliamps_per_unit
            return lambda now_s: round(sum(map(pdu.milliamps, outlets)) / per_ma)
        if column.milliwatts_per_unit:
            per_mw = column.milliwatts_per_unit
            return lambda now_s: round(1000 * sum(map(pdu.watts, outlets)) / per_mw)
        if column.says is not None:
            says = column.says
            return lambda now_s: says
        outlet = outlets[0]
        if column.states:
            states = column.states
            return lambda now_s: states[pdu.told(outlet, now_s)]
        _, number = self._place(outlet)
        if column.names:
            return lambda now_s: f"Outlet {number}"
        return lambda now_s: column.rests_at if column.orders else number


def _numbers(text: str) -> Oid:
    return tuple(int(word) for word in text.split("."))
