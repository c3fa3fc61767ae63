"""Root directories that no instance has: an owner from before finished one, or died over it, after its node
was taken from it."""

from __future__ import annotations

from collections import defaultdict

import structlog

from provisioner.compute.edges import Edges
from provisioner.core.errors import PermanentError, ProvisionerError
from provisioner.core.model import Node
from provisioner.core.states import ACTING
from provisioner.protocols.roots import Made

log = structlog.get_logger(__name__)

EVERY_S = 60.0


async def sweep_stray_roots(edges: Edges) -> None:
    """At once, and then every EVERY_S, until cancelled. What fails is tried again then."""
    while True:
        try:
            await sweep(edges)
        except ProvisionerError as error:
            log.error("roots.not_swept", cause=error.message)
        await edges.clock.sleep(EVERY_S)


async def sweep(edges: Edges) -> None:
    """Whoever owns the nodes now: the storage may be this host's alone. Those that are worked on, or have an
    instance, are left to the work that takes them back."""
    found: dict[str, list[int]] = defaultdict(list)  # node → fences; listed before the nodes are looked at
    for name in await edges.roots.names():
        if made := Made.told_by(name):
            found[made.node_id].append(made.fence)
    if not found:
        return
    for node in await edges.store.transact(lambda tx: tx.find(Node, where={"id": tuple(found)})):
        # What is made under the fence of now may be a deploy's that began meanwhile.
        older = [fence for fence in found[node.id] if fence < node.fence]
        if older and node.instance_id is None and node.state not in ACTING:
            try:
                await edges.roots.remove(node.id, fence=node.fence - 1)
                log.warning("roots.swept", node=node.name, folders=len(older))
            except PermanentError as error:
                log.error("roots.not_swept", node=node.name, cause=error.message)
