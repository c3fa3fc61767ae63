"""The compute host that the request names."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    if instance.host_name and node.owner != instance.host_name:
        # Its name is for operators, and this is told to whoever asks.
        return f"another compute host than {instance.host_name} owns it"
    return None
