"""Architecture, capabilities, traits and comparisons of the flavor."""

from __future__ import annotations

from provisioner.core.extra_specs import unmet, without_reported
from provisioner.core.model import Image, Instance, Node


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    return unmet(instance.flavor.extra_specs, node)


def refuses_for_good(instance: Instance, image: Image, node: Node) -> str | None:
    """By what the node's entry says of it alone: its agent may find more at any time."""
    return unmet(without_reported(instance.flavor.extra_specs), node)
