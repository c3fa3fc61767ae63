"""Of the nodes there are, the one that an instance gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from provisioner.core.model import Image, Instance, Node
from provisioner.core.placement.answer import Placement, Refusal
from provisioner.core.placement.filters import refusal
from provisioner.core.placement.pool import Pool, is_offered


def place(
    instance: Instance, image: Image, nodes: Iterable[Node], deploys: Mapping[str, int] | None = None
) -> Placement:
    """Of the nodes that fit, the one that the weighers put first.

    deploys: how many each compute host has under way.
    """
    pool = Pool(deploys)
    fitting: dict[str, Node] = {}
    refusals: list[Refusal] = []
    for node in nodes:
        why = refusal(instance, image, node)
        if why is None:
            fitting[node.id] = node
        else:
            refusals.append(Refusal(node.name, why))
        if is_offered(node):
            pool.put(node)
    if instance.node_name is not None:
        return Placement(next(iter(fitting.values()), None), tuple(refusals))
    return Placement(pool.choose(instance, image), tuple(refusals))
