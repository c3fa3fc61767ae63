"""Where most are free: instances don't share a rack as long as there are others."""

from __future__ import annotations

from provisioner.core.placement.weighers.weigher import Standing


def weigh(standing: Standing) -> int:
    return -standing.in_its_rack
