"""The smallest: a large machine is kept for whoever needs it."""

from __future__ import annotations

from provisioner.core.placement.weighers.weigher import Standing


def weigh(standing: Standing) -> tuple[int, int, int]:
    node = standing.node
    return node.memory_mib, node.cpus, node.disk_mib
