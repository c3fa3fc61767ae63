"""What a filter is."""

from __future__ import annotations

from collections.abc import Callable

from provisioner.core.model import Image, Instance, Node

Filter = Callable[[Instance, Image, Node], str | None]
"""Why this node can't carry the instance, in words that follow "node n1: "; None: it can."""
