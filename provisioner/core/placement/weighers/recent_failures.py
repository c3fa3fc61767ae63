"""Who failed since its last success goes after those who didn't."""

from __future__ import annotations

from provisioner.core.placement.weighers.weigher import Standing


def weigh(standing: Standing) -> int:
    return standing.node.deploy_failures
