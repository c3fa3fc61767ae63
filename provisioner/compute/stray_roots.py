"""What lies beside the roots of instances: root directories of none (an owner from before finished one, or
died over it, after its node was taken from it), what was half made or half removed by who died, and unpacked
images that were deleted."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import structlog

from provisioner.compute.edges import Edges
from provisioner.core.errors import PermanentError, ProvisionerError, StorageFull
from provisioner.core.model import Image, Node, TimelineEvent
from provisioner.core.states import ACTING
from provisioner.protocols.roots import Made
from provisioner.protocols.store import Tx

Row = tuple[Any, ...]

log = structlog.get_logger(__name__)

EVERY_S = 60.0

AT_ONCE = 1000
"""Nodes that are looked at in one transaction."""


async def sweep_stray_roots(edges: Edges) -> None:
    """At once, and then every EVERY_S, until cancelled. What fails is tried again then."""
    while True:
        for sweep_some in (sweep_drafts, sweep, sweep_images):
            try:
                await sweep_some(edges)
            except (ProvisionerError, OSError) as error:
                log.error("roots.not_swept", cause=str(error))
        await edges.clock.sleep(EVERY_S)


async def sweep_drafts(edges: Edges) -> None:
    await edges.roots.remove_abandoned()


async def sweep(edges: Edges) -> None:
    """Whoever owns the nodes now: the storage may be this host's alone. Those that are worked on, or have an
    instance, are left to the work that takes them back; those of nodes that were deleted are nobody's. What
    this database has never known may be another's."""
    found: dict[str, list[int]] = defaultdict(list)  # node → fences; listed before the nodes are looked at
    for name in (*await edges.roots.names(), *await edges.roots.unfinished()):
        if made := Made.told_by(name):
            found[made.node_id].append(made.fence)
    ids = sorted(found)
    for start in range(0, len(ids), AT_ONCE):
        some = tuple(ids[start : start + AT_ONCE])
        rows, deleted = await edges.store.transact(lambda tx, some=some: _look(tx, some))  # type: ignore[misc]
        for node_id, name, fence, state, instance_id in rows:
            # What is made under the fence of now may be a deploy's that began meanwhile.
            older = [made for made in found[node_id] if made < fence]
            if older and instance_id is None and state not in ACTING:
                await _remove(edges, node_id, name, fence - 1, len(older))
        for node_id in deleted:
            await _remove(edges, node_id, node_id, max(found[node_id]), len(found[node_id]))


def _look(tx: Tx, ids: tuple[str, ...]) -> tuple[list[Row], list[str]]:
    """What there is of these nodes, and which were there once: something was written down of them."""
    rows: list[Row] = sorted(tx.pick(Node, "id", "name", "fence", "state", "instance_id", where={"id": ids}))
    unknown = sorted(set(ids).difference(row[0] for row in rows))
    return rows, [id for id in unknown if tx.count(TimelineEvent, where={"node_id": id})]


async def sweep_images(edges: Edges) -> None:
    """Those that no image has any longer. One that is registered again meanwhile is unpacked again."""
    unpacked = await edges.roots.unpacked()
    for start in range(0, len(unpacked), AT_ONCE):
        some = tuple(unpacked[start : start + AT_ONCE])
        known = await edges.store.transact(
            lambda tx, some=some: {sha256 for (sha256,) in tx.pick(Image, "sha256", where={"sha256": some})}  # type: ignore[misc]
        )
        for sha256 in some:
            if sha256 not in known and await edges.roots.forget(sha256):
                log.info("roots.image_forgotten", sha256=sha256)


async def _remove(edges: Edges, node_id: str, name: str, fence: int, folders: int) -> None:
    try:
        await edges.roots.remove(node_id, fence=fence)
        log.warning("roots.swept", node=name, folders=folders)
    except (PermanentError, StorageFull) as error:
        log.error("roots.not_swept", node=name, cause=error.message)
