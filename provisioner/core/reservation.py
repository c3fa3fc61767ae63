"""Nodes that are kept for one tenant. To all others they are as if they weren't there."""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.core.model import Node


def is_kept_from(node: Node, tenant: str) -> bool:
    return bool(node.reserved_for) and node.reserved_for != tenant


def open_to(tenant: str) -> Mapping[str, tuple[str, str]]:
    """The condition, of a question to the store, on nodes that aren't kept from this tenant."""
    return {"reserved_for": ("", tenant)}
