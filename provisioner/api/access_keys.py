"""/v1/access-keys: what tenants sign their EC2 requests with."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from provisioner.api import views
from provisioner.api.answers import answer
from provisioner.api.context import Context
from provisioner.api.rights import GuardedRoute
from provisioner.api.tenants import TenantName, is_tenant, make_tenant
from provisioner.api.users import UserName, find_user
from provisioner.config.words import Word
from provisioner.core.errors import Conflict, InvalidInput, NotFound
from provisioner.core.model import DEFAULT_TENANT, AccessKey
from provisioner.core.roles import Role
from provisioner.protocols.store import Tx

router = APIRouter(prefix="/v1/access-keys", tags=["access keys"], route_class=GuardedRoute)

MAX_PER_TENANT = 100

PREFIX = "AKIA"
"""Of a long-lived key, to clients and to programs that search files for forgotten ones."""


class AccessKeyOrder(BaseModel):
    """tenant: made as needed; by default its user's. user: by default it is its tenant's as a whole, and goes
    when it is deleted. role: bounds what it
    may do; by default its user's, or member."""

    model_config = ConfigDict(extra="forbid")

    tenant: TenantName | None = None
    user: UserName | None = None
    role: Role | None = None


@router.post("", status_code=201)
async def create(context: Context, order: AccessKeyOrder) -> Response:
    """A new access key. Its secret is in this answer and nowhere else: a repeated order makes another key."""
    secret = context.ids.secret()
    sealed = context.seal(secret)

    def make(tx: Tx) -> views.View:
        tenant = _tenant(tx, order)
        if tx.count(AccessKey, where={"tenant": tenant}) >= MAX_PER_TENANT:
            raise Conflict(
                f"make an access key of tenant {tenant}",
                answer=f"it has {MAX_PER_TENANT}",
                advice="Delete those that aren't used",
            )
        id = PREFIX + context.ids.uuid().replace("-", "")[-16:].upper()
        key = AccessKey(
            id=id,
            tenant=tenant,
            user_id=order.user or "",
            role=order.role,
            secret_sealed=sealed,
            created_at=tx.now(),
        )
        tx.insert(key)
        return views.access_key(key)

    return answer(await context.store.transact(make) | {"secret": secret}, 201)


def _tenant(tx: Tx, order: AccessKeyOrder) -> str:
    """Whose key it will be."""
    if order.user is not None:
        user = find_user(tx, order.user)
        if order.tenant not in (None, user.tenant):
            raise InvalidInput(
                "make an access key", field="tenant", answer=f"user {user.id} is of tenant {user.tenant}"
            )
        return user.tenant
    tenant = order.tenant or DEFAULT_TENANT
    if not is_tenant(tx, tenant):
        make_tenant(tx, tenant)
    return tenant


@router.get("")
async def list_keys(context: Context, tenant: Word | None = None) -> Response:
    where = {"tenant": tenant} if tenant is not None else None
    found = await context.store.transact(lambda tx: tx.find(AccessKey, where=where))
    return answer({"items": [views.access_key(key) for key in found]})


@router.delete("/{id}", status_code=204)
async def delete(context: Context, id: str) -> Response:
    """It is refused from now on by this process, and by others within ten seconds."""

    def remove(tx: Tx) -> None:
        if not tx.delete(AccessKey, id):
            raise NotFound(f"find access key {id}", answer="there is no such access key")

    await context.store.transact(remove)
    context.forget_credentials()
    return Response(status_code=204)
