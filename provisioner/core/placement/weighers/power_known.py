"""Whose power device didn't answer when it was asked last goes after those whose did."""

from __future__ import annotations

from provisioner.core.placement.weighers.weigher import Standing
from provisioner.core.states import PowerState


def weigh(standing: Standing) -> bool:
    return standing.node.power_state is PowerState.UNKNOWN
