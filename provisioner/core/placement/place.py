"""Of the nodes there are, the one that an instance gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from provisioner.core.model import Image, Instance, Node
from provisioner.core.placement.answer import Placement, Refusal
from provisioner.core.placement.filters import refusal
from provisioner.core.placement.pool import Pool, is_offered


class Choice:
    """Of nodes that are met some at a time, the one that the weighers put first of those that fit."""

    def __init__(self, instance: Instance, image: Image, deploys: Mapping[str, int] | None = None) -> None:
        """deploys: how many each compute host has under way; asked for at the end."""
        self._instance = instance
        self._image = image
        self._pool = Pool(deploys)
        self._named: Node | None = None
        self._refusals: list[Refusal] = []

    def meet(self, node: Node) -> None:
        why = refusal(self._instance, self._image, node)
        if why is not None:
            self._refusals.append(Refusal(node.name, why))
        elif self._named is None:
            self._named = node
        if is_offered(node):
            self._pool.put(node)

    def placement(self) -> Placement:
        if self._instance.node_name is not None:
            return Placement(self._named, tuple(self._refusals))
        return Placement(self._pool.choose(self._instance, self._image), tuple(self._refusals))


def place(
    instance: Instance, image: Image, nodes: Iterable[Node], deploys: Mapping[str, int] | None = None
) -> Placement:
    """As `Choice`, of nodes that are all there."""
    choice = Choice(instance, image, deploys)
    for node in nodes:
        choice.meet(node)
    return choice.placement()
