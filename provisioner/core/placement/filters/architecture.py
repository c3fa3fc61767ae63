"""A machine runs what is made for it."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    return f"image {image.name} is for {image.arch}, not {node.arch}" if image.arch != node.arch else None
