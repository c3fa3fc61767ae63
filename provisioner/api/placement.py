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
from provisioner.api.named_places import check_places
from provisioner.api.node_survey import survey
from provisioner.api.rights import GuardedRoute
from provisioner.api.visible_nodes import find_node
from provisioner.config.words import Word
from provisioner.core.model import Flavor, Image, Instance
from provisioner.core.placement.answer import Placement
from provisioner.core.placement.place import Choice
from provisioner.core.reservation import is_kept_from
from provisioner.core.roles import Principal
from provisioner.core.states import DEPLOYING
from provisioner.protocols.store import Tx

router = APIRouter(prefix="/v1/placement", tags=["instances"], route_class=GuardedRoute)


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
    asked, image = await context.store.transact(lambda tx: _asked(tx, context, order))
    who = context.who
    where = {} if asked.node_name is None else {"name": asked.node_name}
    deploys: Counter[str] = Counter()
    choice = Choice(asked, deploys)
    async with context.line.turn(who.tenant):
        async for some in survey(context.store, asked, image, where):
            for node, why in some:
                # The scheduler, too, counts how many are free at a PDU, whoever they are kept for.
                choice.meet(node, why, hidden=not who.oversees and is_kept_from(node, who.tenant))
                if node.state in DEPLOYING:
                    deploys[node.owner or ""] += 1
        return answer(_view(who, choice.placement(), asked.node_name))


def _asked(tx: Tx, context: ApiContext, order: PlacementOrder) -> tuple[Instance, Image]:
    flavor = by_id_or_name(tx, Flavor, "flavor", order.flavor)
    image = deployable(tx, context.who, order.image)
    check_architecture(flavor, image)
    check_places(tx, context.who, zone=order.zone, host=order.host)
    asked = Instance(
        id="",
        name="",
        flavor=flavor,
        image_id=image.id,
        kernel_id=None,
        ramdisk_id=None,
        node_name=find_node(tx, context.who, order.node).name if order.node else None,
        host_name=order.host,
        zone=order.zone,
        tenant=context.who.tenant,
        created_at=tx.now(),
        updated_at=tx.now(),
    )
    return asked, image


def _view(who: Principal, found: Placement, named: str | None) -> views.View:
    return {
        "node": found.node.name if found.node else None,
        "why": "" if found.node else found.explain(named),
        # Who doesn't oversee the nodes learns how many there are, and not which.
        "refused": [{"node": one.node, "why": one.why} for one in found.refusals] if who.oversees else [],
        "refused_nodes": found.reasons.total(),
    }
