"""Which machine hangs on which outlets, and so which one has power."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Outlet = tuple[str, int]
"""PDU, number."""


class Cabling:
    """Of machines that hang on outlets; the others always have power, and aren't known here."""

    def __init__(self, feeds: Mapping[str, Iterable[Outlet]]) -> None:
        self._feeds = {machine: tuple(outlets) for machine, outlets in feeds.items()}
        self._places = {machine: place for place, machine in enumerate(self._feeds)}
        self._by_outlet: dict[Outlet, list[str]] = {}
        for machine, outlets in self._feeds.items():
            for outlet in outlets:
                self._by_outlet.setdefault(outlet, []).append(machine)
        self._swapped: dict[str, str] = {}
        self._live: set[Outlet] = set()
        self._told: dict[str, bool] = {}
        self._touched = set(self._feeds)
        """Machines whose power may have changed: one outlet of thousands concerns one or two."""

    def switched(self, outlet: Outlet, on: bool) -> None:
        (self._live.add if on else self._live.discard)(outlet)
        for where in self._by_outlet.get(outlet, ()):
            self._touched.add(self._swapped.get(where, where))

    def crossed(self, outlet: Outlet) -> list[tuple[str, str]]:
        """Whoever is meant by an outlet and isn't reached, and whoever is reached in its place, each with the
        other. None where the wiring is right."""
        pairs = ((where, self._swapped.get(where)) for where in self._by_outlet.get(outlet, ()))
        return [pair for one, other in pairs if other is not None for pair in ((one, other), (other, one))]

    def fed(self, machine: str) -> bool:
        """By any of its feeds."""
        where = self._swapped.get(machine, machine)
        return any(outlet in self._live for outlet in self._feeds.get(where, ()))

    def changes(self) -> list[tuple[str, bool]]:
        """Machines whose power came or went since the last time this was asked, in the order of the cabling.
        All of them at first."""
        touched = sorted(self._touched, key=self._places.__getitem__)
        self._touched.clear()
        found = [(machine, self.fed(machine)) for machine in touched]
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
        self._touched |= {machine, other}
        return other

    def unswap(self, machine: str) -> None:
        """Idempotent."""
        other = self._swapped.pop(machine, None)
        if other is not None:
            self._swapped.pop(other, None)
            self._touched |= {machine, other}

    def _neighbour(self, machine: str) -> str:
        pdus = {pdu for pdu, _ in self._feeds[machine]}
        others = [name for name, outlets in self._feeds.items() if pdus & {pdu for pdu, _ in outlets}]
        place = others.index(machine)
        return others[(place + 1) % len(others)]
