"""Outlets that feed nodes, and what several of them come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from provisioner.core.states import PowerState


class OutletState(StrEnum):
    """PENDING: on its way from one to the other. UNKNOWN: the PDU can't tell, or tells something else."""

    ON = "on"
    OFF = "off"
    PENDING = "pending"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Seen:
    """One outlet. said: in its device's own words, where they are known and that is UNKNOWN."""

    state: OutletState
    said: str = ""

    def __str__(self) -> str:
        return f"{self.state} ({self.said})" if self.said else str(self.state)


def together(states: Iterable[OutletState]) -> PowerState:
    """The power of what hangs on these: any of them feeds it, so off is all off. On is all on too, for one
    that is off is a feed that is missed. Half off is neither."""
    found = set(states)
    if found == {OutletState.ON}:
        return PowerState.ON
    return PowerState.OFF if found == {OutletState.OFF} else PowerState.UNKNOWN


def on_their_way(outlets: Iterable[Seen], wanted: PowerState) -> bool:
    """Whether all of these that aren't `wanted` yet are moving, and be it away from it: few say which way."""
    others = {seen.state for seen in outlets} - {OutletState(wanted)}
    return others == {OutletState.PENDING}


def told(outlets: Mapping[str, Seen]) -> str:
    """For messages: "outlet 1 off, outlet 2 unknown (5)"."""
    return ", ".join(f"{name} {seen}" for name, seen in outlets.items())


def not_understood(outlets: Mapping[str, Seen]) -> str:
    """The same of those alone that are neither on nor off nor on their way."""
    return told({name: seen for name, seen in outlets.items() if seen.state is OutletState.UNKNOWN})
