"""How many machines RunInstances could have: who asks is told at once, and not kept waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from provisioner.api.capacity import FREE
from provisioner.api.context import ApiContext
from provisioner.api.node_survey import AT_ONCE, survey
from provisioner.api.visible_nodes import nodes_of
from provisioner.core.model import Image, Instance, Node
from provisioner.core.placement.filters import refusal
from provisioner.core.placement.kind import demand_of
from provisioner.core.placement.rows import without_reports
from provisioner.core.states import InstanceState
from provisioner.protocols.store import Tx

OTHERS_LOOKED_AT = 256
"""Requests that wait, too; of more of them each is held to take a node."""

_OF_REQUESTS = ("id", "flavor", "image_id", "node_name", "host_name", "zone", "tenant", "failed_on")


@dataclass(frozen=True, slots=True)
class Found:
    """others: why how many other free nodes can't carry it, of those that were looked at."""

    nodes: Sequence[Node] = ()
    are_all: bool = True
    others: Mapping[str, int] = field(default_factory=dict)


async def fitting(context: ApiContext, asked: Instance, image: Image, enough: int) -> Found:
    """Free nodes that could carry it: all, or at least so many of them. Raises TransientError when it needs
    more than the first look, and too many wait for that."""
    who = context.who
    where = {**nodes_of(who), **FREE}
    if asked.node_name is not None:
        where["name"] = asked.node_name
    found, others = list[Node](), Counter[str]()
    after_first = True
    async with AsyncExitStack() as turn:
        async for some in survey(context.store, asked, image, where):
            found += (node for node, why in some if why is None)
            others.update(why for _, why in some if why is not None)
            if len(some) < AT_ONCE:
                break
            if len(found) >= enough:
                return Found(found, are_all=False)
            if after_first:
                await turn.enter_async_context(context.orders_line.turn(who.tenant))
                after_first = False
    return Found(found, are_all=True, others=others)


def waiting(tx: Tx, asked: Instance) -> int:
    """How many requests could be about to be given nodes."""
    return tx.count(Instance, where=_about_to_be_placed(asked))


def left(tx: Tx, asked: Instance, found: Sequence[Node], most: int) -> int:
    """How many of those that were found are still free, and aren't about to be given to others; `most` at
    most."""
    ids = tuple(node.id for node in found)
    free_ids = {id for (id,) in tx.pick(Node, "id", where={**FREE, "id": ids})}
    free = [node for node in found if node.id in free_ids]
    where = _about_to_be_placed(asked)
    rows = tx.pick(Instance, *_OF_REQUESTS, where=where, limit=OTHERS_LOOKED_AT)
    others = [_request(asked, row) for row in rows]
    more = tx.count(Instance, where=where) - len(others) if len(others) == OTHERS_LOOKED_AT else 0
    number = len(free) - more
    images = {one.id: one for one in tx.find(Image, where={"id": tuple({one.image_id for one in others})})}
    for group in _alike(others, images).values():
        if number <= 0:
            return 0
        number -= _takes(group, images, free)
    return max(0, min(number, most))


def _about_to_be_placed(asked: Instance) -> dict[str, object]:
    # Who has been told what it waits for found no node among those that are free.
    where: dict[str, object] = {
        "state": InstanceState.REQUESTED,
        "delete_requested": False,
        "waiting_for": "",
    }
    if asked.zone:
        where["zone"] = (asked.zone, "")
    if asked.node_name is not None:
        where["node_name"] = (asked.node_name, None)
    return where


def _request(like: Instance, row: tuple[object, ...]) -> Instance:
    return replace(like, **dict(zip(_OF_REQUESTS, row, strict=True)))  # type: ignore[arg-type]


def _alike(others: Iterable[Instance], images: Mapping[str, Image]) -> dict[Hashable, list[Instance]]:
    """Those that ask for the same; without those whose image is gone, which get nothing."""
    groups: dict[Hashable, list[Instance]] = {}
    for one in others:
        if one.image_id in images:
            wish = demand_of(one, images[one.image_id]), one.node_name, one.failed_on
            groups.setdefault(wish, []).append(one)
    return groups


def _takes(group: Sequence[Instance], images: Mapping[str, Image], free: Iterable[Node]) -> int:
    """How many of these nodes such requests could take, at most."""
    other = without_reports(group[0])  # nodes that weren't read whole don't say what their agents found
    image = images[other.image_id]
    taken = 0
    for node in free:
        if taken == len(group):
            break
        taken += refusal(other, image, node) is None
    return taken
