"""Where the nodes and compute hosts of a story are found: by their number alone, at every fidelity."""

from __future__ import annotations

from typing import Any

from scenarios.runner.story import StoryHost, StoryNode

NEAR = 150
"""So many nodes have addresses that a rack's management network holds; beyond that it is all model."""


def numbered_host(number: int) -> StoryHost:
    """Counted from 1."""
    return StoryHost(name=f"ch{number}", address=f"10.77.0.{9 + number}")


def numbered_node(number: int, name: str, **kind: Any) -> StoryNode:
    """Counted from 1. kind: whatever else a StoryNode has."""
    far = f"10.{128 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    return StoryNode(
        name=name,
        mac="52:54:" + (0x00770000 + number).to_bytes(4, "big").hex(":"),
        bmc_address=f"10.78.0.{100 + number}" if number <= NEAR else far,
        bmc_user="admin",
        bmc_password=f"correct-horse-{number}",
        **kind,
    )
