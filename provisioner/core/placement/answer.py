"""What is told of a placement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from provisioner.core.model import Node

REASONS = 3
"""That one line tells."""

MOST_TOLD = 1000
"""Refused nodes that are told of."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one node can't carry the instance."""

    node: str
    why: str


@dataclass(frozen=True, slots=True)
class Placement:
    """The chosen node, or None; why nodes were refused, MOST_TOLD at most; for how many each reason holds."""

    node: Node | None
    refusals: tuple[Refusal, ...]
    reasons: Counter[str]

    def explain(self, asked_node: str | None = None) -> str:
        """One line for the requester, who may be a member: it names no node but the one asked for."""
        for refusal in self.refusals:
            if refusal.node == asked_node:
                return f"node {refusal.node}: {refusal.why}"
        return explained(self.reasons)


def explained(reasons: Mapping[str, int]) -> str:
    """One line for the requester; the commonest reasons, not a list of a thousand nodes.

    reasons: for how many nodes each holds.
    """
    if not reasons:
        return "no nodes are enrolled"
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:REASONS]
    return "no node fits: " + "; ".join(f"{count} × {why}" for why, count in ranked)
