"""Whose compute host has fewest deploys: images come from it, and share its wire."""

from __future__ import annotations

from provisioner.core.placement.weighers.weigher import Standing


def weigh(standing: Standing) -> int:
    return standing.deploys_of_host
