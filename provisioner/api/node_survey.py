"""All nodes, looked at for one request: some at a time, each time in a transaction of its own, and no more of
them than placement looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import NamedTuple

from provisioner.core.model import Image, Instance, Node
from provisioner.core.placement.filters import refusal
from provisioner.core.placement.rows import FIELDS, of_row, without_reports
from provisioner.protocols.store import Store, Tx

AT_ONCE = 128
"""Nodes: takes some 5 ms."""


class Surveyed(NamedTuple):
    """why: what speaks against the node; None: it can carry the instance."""

    node: Node
    why: str | None


async def survey(
    store: Store, asked: Instance, image: Image, where: Mapping[str, object]
) -> AsyncIterator[list[Surveyed]]:
    """Those that meet `where`, by id. They are whole where that decides whether they can carry the
    instance."""
    after: str | None = None
    while True:
        found = await store.transact(partial(_some, asked, image, where, after))
        yield found
        if len(found) < AT_ONCE:
            return
        after = found[-1].node.id


def _some(
    asked: Instance, image: Image, where: Mapping[str, object], after: str | None, tx: Tx
) -> list[Surveyed]:
    nodes = [of_row(row) for row in tx.pick(Node, *FIELDS, where=where, after=after, limit=AT_ONCE)]
    lesser = without_reports(asked)
    # Of a node that isn't whole, what its agent found says nothing, and may not be told as missing.
    found = [Surveyed(node, refusal(lesser, image, node)) for node in nodes]
    if lesser is asked:
        return found
    doubtful = tuple(one.node.id for one in found if one.why is None)
    whole = {node.id: node for node in tx.find(Node, where={"id": doubtful})}
    return [
        Surveyed(whole[one.node.id], refusal(asked, image, whole[one.node.id]))
        if one.node.id in whole
        else one
        for one in found
    ]
