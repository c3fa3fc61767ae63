"""The compute host that the request names."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    if instance.host_name and node.owner != instance.host_name:
        return f"compute host {node.owner} owns it, {instance.host_name} is asked for"
    return None
