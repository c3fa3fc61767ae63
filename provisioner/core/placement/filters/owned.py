"""Somebody has to act on it."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    return "no compute host owns it" if node.owner is None else None
