"""Zones: parts of a place that fail for reasons of their own, by the names that nodes are enrolled with."""

from __future__ import annotations

from provisioner.core.model import Node

DEFAULT = "default"
"""Of nodes that are given none."""


def zone_of(node: Node) -> str:
    return node.zone or DEFAULT


def ec2_zone(region: str, zone: str) -> str:
    """As EC2's clients know it: they expect a region and a letter where nobody has said anything else."""
    return f"{region}a" if zone == DEFAULT else zone
