"""Where the nodes and compute hosts of a story are found: by their number alone, at every fidelity."""

from __future__ import annotations

from typing import Any

from scenarios.runner.story import POWERS, StoryFeed, StoryHost, StoryNode, StoryPdu

NEAR = 150
"""So many nodes have addresses that a rack's management network holds; beyond that it is all model."""


OUTLETS = 8
"""Of each PDU."""

SIDES = {"a": "apc_rackpdu", "b": "raritan_pdu2"}
"""A rack's two feeds, and the families of their PDUs: what switches both is held to both."""


def numbered_host(number: int) -> StoryHost:
    """Counted from 1."""
    return StoryHost(name=f"ch{number}", address=f"10.77.0.{9 + number}")


def numbered_node(number: int, name: str, *, power: str = "ipmi", **kind: Any) -> StoryNode:
    """Counted from 1. power: of POWERS. kind: whatever else a StoryNode has."""
    far = f"10.{128 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    return StoryNode(
        name=name,
        mac="52:54:" + (0x00770000 + number).to_bytes(4, "big").hex(":"),
        bmc_address=f"10.78.0.{100 + number}" if number <= NEAR else far,
        bmc_user="admin",
        bmc_password=f"correct-horse-{number}",
        feeds=tuple(_feed(number, side) for side in list(SIDES)[: POWERS.index(power)]),
        **kind,
    )


def _feed(number: int, side: str) -> StoryFeed:
    pdu, outlet = divmod(number - 1, OUTLETS)
    place = len(SIDES) * pdu + list(SIDES).index(side)  # of all PDUs
    return StoryFeed(
        StoryPdu(
            name=f"{side}{pdu + 1}",
            family=SIDES[side],
            address=f"10.78.0.{40 + place}" if number <= NEAR else f"10.127.{place >> 8 & 255}.{place & 255}",
            community=f"correct-horse-{100_000 + place}",
        ),
        outlet + 1,
    )
