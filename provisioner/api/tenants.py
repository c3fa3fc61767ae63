"""/v1/tenants: who shares what is theirs, and nothing of it with others."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from provisioner.api import views
from provisioner.api.answers import page
from provisioner.api.context import After, Context, Limit
from provisioner.api.image_shares import forget_tenant
from provisioner.api.once import once
from provisioner.api.rights import GuardedRoute
from provisioner.core.errors import Conflict, NotFound
from provisioner.core.model import (
    DEFAULT_TENANT,
    AccessKey,
    Image,
    Instance,
    KeyPair,
    Node,
    Record,
    Tag,
    Tenant,
    User,
)
from provisioner.core.states import LIVE
from provisioner.protocols.store import Tx

router = APIRouter(prefix="/v1/tenants", tags=["tenants and users"], route_class=GuardedRoute)

MAX_TENANTS = 10_000

TenantName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]

_OWNED: tuple[tuple[type[Record], str], ...] = (
    (User, "users"),
    (AccessKey, "access keys"),
    (Image, "images"),
    (KeyPair, "keys"),
)
"""What a tenant must have none of to go, beside instances."""


class TenantOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: TenantName


@router.post("", status_code=201)
async def create(context: Context, request: Request, order: TenantOrder) -> Response:
    return await once(context, request, 201, lambda tx: views.tenant(make_tenant(tx, order.name)))


@router.get("")
async def list_tenants(
    context: Context, request: Request, limit: Limit = 100, after: After = None
) -> Response:
    found = await context.store.transact(lambda tx: tx.find(Tenant, after=after, limit=limit))
    return page(request, [views.tenant(tenant) for tenant in found], limit)


@router.delete("/{tenant}", status_code=204)
async def delete(context: Context, tenant: str) -> Response:
    """Once it has nothing any more."""

    def remove(tx: Tx) -> None:
        if tx.get(Tenant, tenant) is None:
            raise NotFound(f"find tenant {tenant}", answer="there is no such tenant")
        owned = [what for kind, what in _OWNED if tx.count(kind, where={"tenant": tenant})]
        if tx.count(Instance, where={"tenant": tenant, "state": LIVE}):
            owned.append("instances")
        if owned:
            raise Conflict(
                f"delete tenant {tenant}", answer=f"it has {', '.join(owned)}", advice="Delete these first"
            )
        if reserved := tx.find(Node, where={"reserved_for": tenant}, limit=10):
            raise Conflict(
                f"delete tenant {tenant}",
                answer=f"reserved for it: {', '.join(sorted(node.name for node in reserved))}",
                advice="Another of its name would get them: provisioner node unreserve NODE",
            )
        if tenant == DEFAULT_TENANT:
            raise Conflict(f"delete tenant {tenant}", answer="it is always there")
        forget_tenant(tx, tenant)
        for tag in tx.find(Tag, where={"tenant": tenant}):
            tx.delete(Tag, tag.id)
        tx.delete(Tenant, tenant)

    await context.store.transact(remove)
    return Response(status_code=204)


def make_tenant(tx: Tx, name: str) -> Tenant:
    """Raises Conflict when there is one of this name, or too many, or was one whose instances are known."""
    if tx.count(Tenant) >= MAX_TENANTS:
        raise Conflict(f"make tenant {name}", answer=f"there are {MAX_TENANTS}", advice="Delete some first")
    if tx.get(Tenant, name) is None and tx.count(Instance, where={"tenant": name}):
        raise Conflict(
            f"make tenant {name}",
            answer="another one had this name, and what became of its instances is known still",
            advice="It would be this one's to see: take another name",
        )
    tenant = Tenant(id=name, created_at=tx.now())
    tx.insert(tenant)
    return tenant


def is_tenant(tx: Tx, name: str) -> bool:
    return name == DEFAULT_TENANT or tx.get(Tenant, name) is not None
