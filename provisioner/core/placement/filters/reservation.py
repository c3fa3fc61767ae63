"""Nodes that are kept for one tenant are nobody else's."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    if node.reserved_for and node.reserved_for != instance.tenant:
        return "it is reserved for another tenant"
    return None
