"""Why a node can't carry an instance: each filter knows one reason. They are asked in this order, and the
first that refuses is what the requester is told."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node
from provisioner.core.placement.filters import (
    architecture,
    command_line,
    failed_before,
    flavor_specs,
    free,
    health,
    host,
    image_kind,
    maintenance,
    named,
    owned,
    reservation,
    resources,
    zone,
)
from provisioner.core.placement.filters.filter import Filter

OF_ONE_NODE: tuple[Filter, ...] = (named.refuses, failed_before.refuses)
"""What they say differs between nodes that are otherwise alike."""

OF_ITS_KIND: tuple[Filter, ...] = (
    free.refuses,
    maintenance.refuses,
    owned.refuses,
    host.refuses,
    zone.refuses,
    reservation.refuses,
    health.refuses,
    flavor_specs.refuses,
    architecture.refuses,
    image_kind.refuses,
    command_line.refuses,
    resources.refuses,
)
"""What they say is the same for all nodes of one kind, see `kind`: whatever they look at is part of it."""

FILTERS = (*OF_ONE_NODE, *OF_ITS_KIND)

FOR_GOOD: tuple[Filter, ...] = (
    zone.refuses,
    flavor_specs.refuses_for_good,
    architecture.refuses,
    image_kind.refuses,
    command_line.refuses,
    resources.refuses,
)
"""They look at nothing that changes while a node is enrolled."""


def refusal(instance: Instance, image: Image, node: Node) -> str | None:
    """The first reason why `node` can't carry the instance, or None."""
    return _first(FILTERS, instance, image, node)


def refusal_of_its_kind(instance: Instance, image: Image, node: Node) -> str | None:
    """As `refusal`, for all nodes of this one's kind."""
    return _first(OF_ITS_KIND, instance, image, node)


def refusal_for_good(instance: Instance, image: Image, node: Node) -> str | None:
    """As `refusal`, of what waiting doesn't mend."""
    return _first(FOR_GOOD, instance, image, node)


def _first(filters: tuple[Filter, ...], instance: Instance, image: Image, node: Node) -> str | None:
    for refuses in filters:
        why = refuses(instance, image, node)
        if why is not None:
            return why
    return None
