"""Which machine hangs on which outlets, and so which one has power."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Outlet = tuple[str, int]
"""PDU, number."""


class Cabling:
    """Of machines that hang on outlets; the others always have power, and aren't known here."""

    def __init__(self, feeds: Mapping[str, Iterable[Outlet]]) -> None:
        self._feeds = {machine: tuple(outlets) for machine, outlets in feeds.items()}
        self._swapped: dict[str, str] = {}
        self._live: set[Outlet] = set()
        self._told: dict[str, bool] = {}

    def switched(self, outlet: Outlet, on: bool) -> None:
        (self._live.add if on else self._live.discard)(outlet)

    def fed(self, machine: str) -> bool:
        """By any of its feeds."""
        where = self._swapped.get(machine, machine)
        return any(outlet in self._live for outlet in self._feeds.get(where, ()))

    def changes(self) -> list[tuple[str, bool]]:
        """Machines whose power came or went since the last time this was asked. All of them at first."""
        found = [(machine, self.fed(machine)) for machine in self._feeds]
        changed = [(machine, fed) for machine, fed in found if self._told.get(machine) is not fed]
        self._told.update(changed)
        return changed

    def swap(self, machine: str, other: str | None) -> str:
        """Each hangs where the other did, from now on. other: None: the next one with an outlet of the same
        PDU. Returns the other's name. Raises ValueError when there is none, or either is swapped already."""
        if machine not in self._feeds:
            raise ValueError(f"{machine} hangs on no outlet")
        other = other or self._neighbour(machine)
        if other not in self._feeds or other == machine:
            raise ValueError(f"{other} hangs on no outlet that {machine} could be swapped with")
        for one in (machine, other):
            if one in self._swapped:
                raise ValueError(f"{one} is swapped with {self._swapped[one]} already")
        self._swapped |= {machine: other, other: machine}
        return other

    def unswap(self, machine: str) -> None:
        """Idempotent."""
        other = self._swapped.pop(machine, None)
        if other is not None:
            self._swapped.pop(other, None)

    def _neighbour(self, machine: str) -> str:
        pdus = {pdu for pdu, _ in self._feeds[machine]}
        others = [name for name, outlets in self._feeds.items() if pdus & {pdu for pdu, _ in outlets}]
        place = others.index(machine)
        return others[(place + 1) % len(others)]
