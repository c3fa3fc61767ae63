"""What the driver `snmp` needs to know of a family of PDUs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from provisioner.core.outlets import OutletState

Oid = tuple[int, ...]

ENTERPRISES: Oid = (1, 3, 6, 1, 4, 1)
"""Vendors' own objects (RFC 1155 §3.1.4)."""

_OID = re.compile(r"[0-9]+(\.[0-9]+)*")

SYS_OBJECT_ID: Oid = (1, 3, 6, 1, 2, 1, 1, 2, 0)
"""Which product it is (SNMPv2-MIB, RFC 3418)."""


@dataclass(frozen=True, slots=True)
class Command:
    """oid: below ENTERPRISES, with {outlet} and {unit} in it. value: the INTEGER to write."""

    oid: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of outlets behind SNMP. OIDs stand as vendors' MIBs count them, below ENTERPRISES.

    outlets:  the most that a PDU of the family has, per unit
    known_by: beginnings of its sysObjectID, for `family: auto`
    state:    the object that tells an outlet's state, with {outlet} and {unit} in it
    on, off:  what to write for which end, at once and not after the PDU's own delay
    when_on, when_off, pending: what `state` says; anything else is unknown
    missing:  what it says of outlets that the PDU hasn't
    unit:     what {unit} is unless the node file says otherwise: of PDUs in a chain, or of towers and infeeds
    arc:      what stands for an outlet's number in OIDs; by default the number
    source:   where that was read
    """

    name: str
    outlets: int
    known_by: tuple[str, ...]
    state: str
    on: Command
    off: Command
    when_on: frozenset[int]
    when_off: frozenset[int]
    pending: frozenset[int] = frozenset()
    missing: frozenset[int] = frozenset()
    unit: str = ""
    arc: Callable[[int], int] = int
    source: str

    def __post_init__(self) -> None:
        self._check_kinds(self.known_by, self.outlets)
        for pattern in (self.state, self.on.oid, self.off.oid):
            self._check_pattern(pattern)
        for beginning in self.known_by:
            self._check_oid(beginning, beginning)
        if not (self.when_on and self.when_off):
            raise ValueError(
                f"{self.name}: say which values of its state are on and off, when_on and when_off"
            )
        meanings = (self.when_on, self.when_off, self.pending, self.missing)
        if len(frozenset().union(*meanings)) < sum(map(len, meanings)):
            raise ValueError(f"{self.name}: a state is on, off, pending or missing, and not two of these")

    def _check_kinds(self, known_by: object, outlets: object) -> None:
        """A site's own module is seen by no type checker. ("318.1") is a text, and each of its digits, read
        as a beginning, would be other vendors' devices."""
        if not isinstance(known_by, tuple):
            raise ValueError(f"{self.name}: known_by is a tuple of texts: write ({known_by!r},)")
        if not isinstance(outlets, int) or outlets < 1:
            raise ValueError(f"{self.name}: outlets is how many a PDU has at most, not {outlets!r}")
        values: set[object] = {self.on.value, self.off.value}.union(
            self.when_on, self.when_off, self.pending, self.missing
        )
        for value in values:
            if not isinstance(value, int):
                raise ValueError(f"{self.name}: states and commands are whole numbers, not {value!r}")

    def _check_pattern(self, pattern: str) -> None:
        if "{outlet}" not in pattern:
            raise ValueError(
                f"{self.name}: {pattern} has no {{outlet}} in it: it is one object of all outlets"
            )
        if "{unit}" in pattern and not self.unit:
            raise ValueError(
                f"{self.name}: {pattern} has {{unit}} in it: say what stands for the first, unit="
            )
        if self.unit and "{unit}" not in pattern:
            raise ValueError(f"{self.name}: {pattern} has no {{unit}} in it: it is one object of all units")
        self._check_oid(pattern, pattern.replace("{outlet}", "1").replace("{unit}", self.unit))

    def _check_oid(self, written: str, oid: str) -> None:
        if f".{oid.lstrip('.')}.".startswith(".1.3.6.1."):
            raise ValueError(f"{self.name}: {written} is a whole OID: leave the .1.3.6.1.4.1. before it out")
        if not _OID.fullmatch(oid):
            raise ValueError(
                f"{self.name}: {written} is no OID: numbers with dots between them, {{outlet}} and {{unit}}"
            )

    def read(self, value: int) -> OutletState:
        for values, state in (
            (self.when_on, OutletState.ON),
            (self.when_off, OutletState.OFF),
            (self.pending, OutletState.PENDING),
        ):
            if value in values:
                return state
        return OutletState.UNKNOWN

    def oid(self, pattern: str, outlet: int, unit: str = "") -> Oid:
        """Of an object of this family, for one outlet."""
        text = pattern.format(outlet=self.arc(outlet), unit=unit or self.unit)
        return ENTERPRISES + tuple(int(number) for number in text.split("."))

    def matches(self, system: Oid) -> int:
        """How much of a sysObjectID this family is known by: 0, not at all."""
        lengths = (
            len(known)
            for known in (ENTERPRISES + tuple(map(int, text.split("."))) for text in self.known_by)
            if system[: len(known)] == known
        )
        return max(lengths, default=0)
