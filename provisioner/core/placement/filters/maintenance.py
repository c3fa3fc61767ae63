"""Not taken out of service."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    # And not why: its reason may name devices, and the requester may be of any tenant.
    return "it is in maintenance" if node.maintenance else None
