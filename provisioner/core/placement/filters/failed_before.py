"""A node that has failed the same request once isn't tried again."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    return "it has failed this request before" if node.id in instance.failed_on else None
