"""The zone that the request names. Without one, any."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    if instance.zone and node.zone != instance.zone:
        return f"it is in zone {node.zone}" if node.zone else "it is in no zone"
    return None
