"""Of the nodes there are, the one that an instance gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.core.model import Image, Instance, Node
from provisioner.core.placement.answer import MOST_TOLD, Placement, Refusal
from provisioner.core.placement.filters import refusal
from provisioner.core.placement.pool import is_offered, place_of
from provisioner.core.placement.weighers import OF_NODES, WEIGHERS, Standing


class Choice:
    """Of nodes that are met some at a time, the one that the weighers put first of those that fit. Keeps one
    for each place and host, not all: it is they that make the collector of garbage stop the process."""

    def __init__(self, instance: Instance, deploys: Mapping[str, int] | None = None) -> None:
        """deploys: how many each compute host has under way; asked for at the end."""
        self._instance = instance
        self._deploys = {} if deploys is None else deploys
        self._weight: tuple[Any, ...] = ()
        self._best: dict[tuple[Any, ...], Node] = {}  # of those with that weight: by PDUs, rack and host
        self._on: Counter[str] = Counter()
        self._refusals: list[Refusal] = []
        self._reasons: Counter[str] = Counter()

    def meet(self, node: Node, why: str | None, *, hidden: bool = False) -> None:
        """why: what speaks against it; None: nothing. hidden: it stands where it stands, and that is all: it
        isn't chosen, nor told of."""
        if why is not None and not hidden:
            self._reasons[why] += 1
            if len(self._refusals) < MOST_TOLD:
                self._refusals.append(Refusal(node.name, why))
        if not is_offered(node) or node.id in self._instance.failed_on:
            return
        pdus, rack = place_of(node)
        self._on.update((*pdus, rack) if rack else pdus)
        if why is None and not hidden:
            self._consider(node, (pdus, rack, node.owner))

    def _consider(self, node: Node, where: tuple[Any, ...]) -> None:
        alone = Standing(node, 0, 0, 0)
        weight = tuple(weigh(alone) for weigh in OF_NODES)
        if self._best and weight != self._weight:
            if weight > self._weight:
                return
            self._best.clear()
        self._weight = weight
        before = self._best.get(where)
        if before is None or node.name < before.name:
            self._best[where] = node

    def placement(self) -> Placement:
        chosen = min(self._best.values(), key=self._rank, default=None)
        return Placement(chosen, tuple(self._refusals), self._reasons)

    def _rank(self, node: Node) -> tuple[Any, ...]:
        pdus, rack = place_of(node)
        fewest = min((self._on[pdu] for pdu in pdus), default=0)
        there = self._on[rack] if rack else 0
        standing = Standing(node, fewest, there, self._deploys.get(node.owner or "", 0))
        return tuple(weigh(standing) for weigh in WEIGHERS)


def place(
    instance: Instance, image: Image, nodes: Iterable[Node], deploys: Mapping[str, int] | None = None
) -> Placement:
    """As `Choice`, of nodes that are all there."""
    choice = Choice(instance, deploys)
    for node in nodes:
        choice.meet(node, refusal(instance, image, node))
    return choice.placement()
