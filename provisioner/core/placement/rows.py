"""Of a node, what placement looks at, read without the rest: what its agent found, which says most and is
asked for least, takes ten times as long to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from provisioner.core.extra_specs import CAPABILITY, REPORTED, TRAIT
from provisioner.core.model import Instance, Node

_LEFT_OUT = frozenset(
    (
        *("power_secret_sealed", "root_device_hint", "keep_disks", "maintenance_reason", "capabilities"),
        *("inventory", "publication", "work", "failure"),
    )
)
FIELDS = tuple(field.name for field in fields(Node) if field.name not in _LEFT_OUT)
"""To be picked of a node."""


def of_row(row: tuple[Any, ...]) -> Node:
    """A node that says nothing of what was left out."""
    return Node(**dict(zip(FIELDS, row, strict=True)))


def answered(specs: Mapping[str, str]) -> dict[str, str]:
    """Those of what a flavor asks for that such a node answers as the whole one would."""
    left_out = (CAPABILITY, TRAIT)
    kept = (name for name in specs if name not in REPORTED and not name.startswith(left_out))
    return {name: specs[name] for name in kept}


def without_reports(instance: Instance) -> Instance:
    """The request, asking for no more than such a node answers. What can't carry this can't carry the
    other."""
    flavor = instance.flavor
    specs = answered(flavor.extra_specs)
    if len(specs) == len(flavor.extra_specs):
        return instance
    return replace(instance, flavor=replace(flavor, extra_specs=specs))
