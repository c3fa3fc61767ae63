"""The zone that the request names. Without one, any."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node
from provisioner.core.zones import zone_of


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    if instance.zone and zone_of(node) != instance.zone:
        return f"it is in zone {zone_of(node)}"
    return None
