"""Outlets that feed nodes, and what several of them come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from provisioner.core.states import PowerState


class OutletState(StrEnum):
    """PENDING: on its way from one to the other. UNKNOWN: the PDU can't tell, or tells something else."""

    ON = "on"
    OFF = "off"
    PENDING = "pending"
    UNKNOWN = "unknown"


def together(states: Iterable[OutletState]) -> PowerState:
    """The power of what hangs on these: any of them feeds it, so off is all off. On is all on too, for one
    that is off is a feed that is missed. Half off is neither."""
    found = set(states)
    if found == {OutletState.ON}:
        return PowerState.ON
    return PowerState.OFF if found == {OutletState.OFF} else PowerState.UNKNOWN


def on_their_way(states: Iterable[OutletState], wanted: PowerState) -> bool:
    """Whether all of these that aren't `wanted` yet are moving, and be it away from it: few say which way."""
    others = set(states) - {OutletState(wanted)}
    return others == {OutletState.PENDING}


def told(states: Mapping[str, OutletState]) -> str:
    """For messages: "outlet 1 off, outlet 2 on"."""
    return ", ".join(f"{name} {state}" for name, state in states.items())
