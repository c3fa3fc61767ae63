"""Nodes that are kept for one tenant are nobody else's."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node
from provisioner.core.reservation import is_kept_from


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    # Told to who oversees the nodes alone: for others it isn't there.
    return "it is reserved for another tenant" if is_kept_from(node, instance.tenant) else None
