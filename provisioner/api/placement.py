"""/v1/placement: which node a request would get, and why not the others."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from provisioner.api import views
from provisioner.api.answers import answer
from provisioner.api.context import ApiContext, Context, by_id_or_name
from provisioner.api.instance_orders import check_architecture, deployable
from provisioner.api.rights import GuardedRoute
from provisioner.api.visible import find_node_to_have
from provisioner.config.words import Word
from provisioner.core.model import Flavor, Instance, Node
from provisioner.core.placement.place import place
from provisioner.core.states import DEPLOYING
from provisioner.protocols.store import Tx

router = APIRouter(prefix="/v1/placement", tags=["instances"], route_class=GuardedRoute)

MOST = 1000
"""Refused nodes that are told of."""


class PlacementOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    flavor: Word
    image: Word
    node: Annotated[Word | None, Field(description="This one and no other.")] = None
    host: Annotated[Word | None, Field(description="Nodes of this compute host alone.")] = None
    zone: Annotated[Word, Field(description="Nodes of this zone alone.")] = ""


@router.post("")
async def dry_run(context: Context, order: PlacementOrder) -> Response:
    """Which node an instance would get now. Nothing is claimed: a moment later it may be another's."""
    return answer(await context.store.transact(lambda tx: _placed(tx, context, order)))


def _placed(tx: Tx, context: ApiContext, order: PlacementOrder) -> views.View:
    flavor = by_id_or_name(tx, Flavor, "flavor", order.flavor)
    image = deployable(tx, context.who, order.image)
    check_architecture(flavor, image)
    named = find_node_to_have(tx, context.who, order.node).name if order.node else None
    asked = Instance(
        id="",
        name="",
        flavor=flavor,
        image_id=image.id,
        kernel_id=None,
        ramdisk_id=None,
        node_name=named,
        host_name=order.host,
        zone=order.zone,
        tenant=context.who.tenant,
        created_at=tx.now(),
        updated_at=tx.now(),
    )
    nodes = tx.find(Node)
    deploys = Counter(node.owner or "" for node in nodes if node.state in DEPLOYING)
    found = place(asked, image, nodes, deploys)
    return {
        "node": found.node.name if found.node else None,
        "why": "" if found.node else found.explain(named),
        # Who doesn't oversee the nodes learns how many there are, and not which.
        "refused": [{"node": one.node, "why": one.why} for one in found.refusals[:MOST]]
        if context.who.oversees
        else [],
        "refused_nodes": len(found.refusals),
    }
