"""The node that the request names, and no other."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    if instance.node_name is not None and node.name != instance.node_name:
        return f"the request names node {instance.node_name}"
    return None
