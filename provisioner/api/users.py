"""/v1/users: people and programs of a tenant's, each with a role."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from provisioner.api import views
from provisioner.api.answers import answer, page
from provisioner.api.context import After, Context, Limit
from provisioner.api.once import once
from provisioner.api.rights import GuardedRoute
from provisioner.api.tenants import TenantName, is_tenant
from provisioner.config.words import Word
from provisioner.core.errors import Conflict, NotFound
from provisioner.core.model import DEFAULT_TENANT, AccessKey, ApiToken, User
from provisioner.core.roles import Role
from provisioner.protocols.store import Tx

router = APIRouter(prefix="/v1/users", tags=["tenants and users"], route_class=GuardedRoute)

MAX_PER_TENANT = 1000

UserName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._@-]{0,127}$")]


class UserOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: UserName
    tenant: TenantName = DEFAULT_TENANT
    role: Role = Role.MEMBER


class RoleOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Role


@router.post("", status_code=201)
async def create(context: Context, request: Request, order: UserOrder) -> Response:
    def make(tx: Tx) -> views.View:
        if not is_tenant(tx, order.tenant):
            raise NotFound(f"find tenant {order.tenant}", answer="there is no such tenant")
        if tx.count(User, where={"tenant": order.tenant}) >= MAX_PER_TENANT:
            raise Conflict(f"make user {order.name}", answer=f"its tenant has {MAX_PER_TENANT}")
        user = User(id=order.name, tenant=order.tenant, role=order.role, created_at=tx.now())
        tx.insert(user)
        return views.user(user)

    return await once(context, request, 201, make)


@router.get("")
async def list_users(
    context: Context, request: Request, limit: Limit = 100, after: After = None, tenant: Word | None = None
) -> Response:
    where = {"tenant": tenant} if tenant is not None else None
    found = await context.store.transact(lambda tx: tx.find(User, where=where, after=after, limit=limit))
    return page(request, [views.user(user) for user in found], limit)


@router.put("/{user}")
async def change(context: Context, user: str, order: RoleOrder) -> Response:
    """Give a user another role. Its tokens have no more than that from now on; in other API processes, within
    ten seconds."""

    def give(tx: Tx) -> views.View:
        tx.update(User, find_user(tx, user).id, {"role": order.role})
        check_administered(tx, f"change user {user}")
        return views.user(find_user(tx, user))

    view = await context.store.transact(give)
    context.forget_credentials()
    return answer(view)


@router.delete("/{user}", status_code=204)
async def delete(context: Context, user: str) -> Response:
    """With its tokens and access keys."""

    def remove(tx: Tx) -> None:
        found = find_user(tx, user)
        for token in tx.find(ApiToken, where={"user_id": found.id}):
            tx.delete(ApiToken, token.id)
        for key in tx.find(AccessKey, where={"user_id": found.id}):
            tx.delete(AccessKey, key.id)
        tx.delete(User, found.id)
        check_administered(tx, f"delete user {user}")

    await context.store.transact(remove)
    context.forget_credentials()
    return Response(status_code=204)


def find_user(tx: Tx, name: str) -> User:
    found = tx.get(User, name)
    if found is None:
        raise NotFound(f"find user {name}", answer="there is no such user")
    return found


def check_administered(tx: Tx, tried: str) -> None:
    """Raises Conflict when no token would be an admin's any more: nobody could ever make one again."""
    admins = tuple(user.id for user in tx.find(User) if user.role is Role.ADMIN)
    if not tx.count(ApiToken, where={"user_id": admins, "role": (Role.ADMIN, None)}):
        raise Conflict(
            tried, answer="the last token of an admin would go with it", advice="Create another first"
        )
