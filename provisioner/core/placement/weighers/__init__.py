"""Which of the nodes that fit goes first: what the first weigher makes smallest; what is equal to it is left
to the next one."""

from __future__ import annotations

from provisioner.core.placement.weighers import (
    best_fit,
    host_deploys,
    name,
    pdus,
    power_known,
    racks,
    recent_failures,
)
from provisioner.core.placement.weighers.weigher import Standing, Weigher

OF_NODES: tuple[Weigher, ...] = (recent_failures.weigh, power_known.weigh, best_fit.weigh)
"""They look at the node alone, and at nothing that isn't part of its kind."""

OF_PLACES: tuple[Weigher, ...] = (pdus.weigh, racks.weigh)
"""They look at what hangs or stands where the node does."""

OF_HOSTS: tuple[Weigher, ...] = (host_deploys.weigh,)
"""They look at the node's compute host."""

WEIGHERS = (*OF_NODES, *OF_PLACES, *OF_HOSTS, name.weigh)

__all__ = ["OF_HOSTS", "OF_NODES", "OF_PLACES", "WEIGHERS", "Standing", "Weigher"]
