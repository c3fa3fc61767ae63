"""/v1/access-keys: what tenants sign their EC2 requests with."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from provisioner.api import views
from provisioner.api.answers import answer
from provisioner.api.context import Context
from provisioner.core.errors import Conflict, NotFound
from provisioner.core.model import DEFAULT_TENANT, AccessKey
from provisioner.protocols.store import Tx

router = APIRouter(prefix="/v1/access-keys", tags=["access keys"])

MAX_PER_TENANT = 100

PREFIX = "AKIA"
"""Of a long-lived key, to clients and to programs that search files for forgotten ones."""


class AccessKeyOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tenant: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = DEFAULT_TENANT


@router.post("", status_code=201)
async def create(context: Context, order: AccessKeyOrder) -> Response:
    """A new access key. Its secret is in this answer and nowhere else: a repeated order makes another key."""
    secret = context.ids.secret()
    sealed = context.seal(secret)

    def make(tx: Tx) -> views.View:
        if tx.count(AccessKey, where={"tenant": order.tenant}) >= MAX_PER_TENANT:
            raise Conflict(
                f"make an access key of tenant {order.tenant}",
                answer=f"it has {MAX_PER_TENANT}",
                advice="Delete those that aren't used",
            )
        id = PREFIX + context.ids.uuid().replace("-", "")[-16:].upper()
        key = AccessKey(id=id, tenant=order.tenant, secret_sealed=sealed, created_at=tx.now())
        tx.insert(key)
        return views.access_key(key)

    return answer(await context.store.transact(make) | {"secret": secret}, 201)


@router.get("")
async def list_keys(context: Context, tenant: str | None = None) -> Response:
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
    context.access_keys.pop(id, None)
    return Response(status_code=204)
