"""All nodes, looked at for one request: some at a time, each time in a transaction of its own, and no more of
them than placement looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial

from provisioner.core.model import Image, Instance, Node
from provisioner.core.placement.filters import refusal
from provisioner.core.placement.rows import FIELDS, of_row, without_reports
from provisioner.protocols.store import Store, Tx

AT_ONCE = 128
"""Nodes: takes some 5 ms."""


async def survey(
    store: Store, asked: Instance, image: Image, where: Mapping[str, object]
) -> AsyncIterator[list[Node]]:
    """Those that meet `where`, by id. They are whole where that decides whether they can carry the
    instance."""
    after: str | None = None
    while True:
        nodes = await store.transact(partial(_some, asked, image, where, after))
        yield nodes
        if len(nodes) < AT_ONCE:
            return
        after = nodes[-1].id


def _some(
    asked: Instance, image: Image, where: Mapping[str, object], after: str | None, tx: Tx
) -> list[Node]:
    nodes = [of_row(row) for row in tx.pick(Node, *FIELDS, where=where, after=after, limit=AT_ONCE)]
    lesser = without_reports(asked)
    if lesser is asked:
        return nodes
    doubtful = tuple(node.id for node in nodes if refusal(lesser, image, node) is None)
    whole = {node.id: node for node in tx.find(Node, where={"id": doubtful})}
    return [whole.get(node.id, node) for node in nodes]
