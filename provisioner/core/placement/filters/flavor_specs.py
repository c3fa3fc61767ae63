"""Architecture, capabilities, traits and comparisons of the flavor."""

from __future__ import annotations

from provisioner.core.extra_specs import unmet
from provisioner.core.model import Image, Instance, Node


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    return unmet(instance.flavor.extra_specs, node)
