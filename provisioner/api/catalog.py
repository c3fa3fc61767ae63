"""/v1/flavors and /v1/keys"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from provisioner.api import views
from provisioner.api.answers import answer, page
from provisioner.api.context import After, Context, Limit, by_id_or_name
from provisioner.api.once import once
from provisioner.api.public_keys import MAX_LINE_BYTES, checked_key
from provisioner.api.resource_tags import forget_tags
from provisioner.api.rights import GuardedRoute
from provisioner.config.words import Word
from provisioner.core import extra_specs
from provisioner.core.ec2_ids import key_pair_id
from provisioner.core.errors import Conflict, NotFound
from provisioner.core.model import Flavor, KeyPair
from provisioner.protocols.store import Tx

router = APIRouter(prefix="/v1", tags=["flavors and keys"], route_class=GuardedRoute)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Amount = Annotated[int, Field(ge=0, le=2**31)]

MAX_KEYS = 5000
"""Of a tenant, as at EC2."""


class TooManyKeys(Conflict):
    """Its tenant has as many as it may have."""


class FlavorOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    cpus: Amount = 1
    memory_mib: Amount = 1
    disk_mib: Amount = 1
    swap_mib: Amount = 0
    ephemeral_mib: Amount = 0
    extra_specs: dict[Word, Word] = Field(default_factory=dict)


class KeyOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    public_key: Annotated[str, Field(max_length=MAX_LINE_BYTES, pattern=r"^[^\x00]*$")]


def insert_key(tx: Tx, key: KeyPair) -> None:
    """Raises Conflict when its tenant has one of this name, or as many as it may have."""
    if tx.count(KeyPair, where={"tenant": key.tenant, "name": key.name}):
        raise Conflict(f"add key {key.name}", answer="its name is taken", advice="Delete that one, or use it")
    if tx.count(KeyPair, where={"tenant": key.tenant}) >= MAX_KEYS:
        raise TooManyKeys(
            f"add key {key.name}",
            answer=f"tenant {key.tenant} has {MAX_KEYS} keys, which is all that it may have",
            advice="Delete those that nobody uses: instances keep the keys that they were made with",
        )
    tx.insert(key)


def remove_key(tx: Tx, key: KeyPair) -> None:
    tx.delete(KeyPair, key.id)
    forget_tags(tx, key_pair_id(key.id))


def find_key(tx: Tx, tenant: str, id_or_name: str) -> KeyPair:
    """Raises NotFound, for another tenant's too."""
    own = tx.find(KeyPair, where={"tenant": tenant, "name": id_or_name}, limit=1)
    found = own[0] if own else tx.get(KeyPair, id_or_name)
    if found is None or found.tenant != tenant:
        raise NotFound(f"find key {id_or_name}", answer="there is no such key")
    return found


@router.post("/flavors", status_code=201)
async def create_flavor(context: Context, request: Request, order: FlavorOrder) -> Response:
    extra_specs.check(order.extra_specs, "extra_specs")

    def make(tx: Tx) -> views.View:
        flavor = Flavor(id=context.ids.uuid(), **order.model_dump())
        tx.insert(flavor)
        return views.flavor(flavor)

    return await once(context, request, 201, make)


@router.get("/flavors")
async def list_flavors(
    context: Context, request: Request, limit: Limit = 100, after: After = None
) -> Response:
    found = await context.store.transact(lambda tx: tx.find(Flavor, after=after, limit=limit))
    return page(request, [views.flavor(flavor) for flavor in found], limit)


@router.get("/flavors/{flavor}")
async def show_flavor(context: Context, flavor: str) -> Response:
    found = await context.store.transact(lambda tx: by_id_or_name(tx, Flavor, "flavor", flavor))
    return answer(views.flavor(found))


@router.delete("/flavors/{flavor}", status_code=204)
async def delete_flavor(context: Context, flavor: str) -> Response:
    """Instances keep the flavor that they were made with."""

    def remove(tx: Tx) -> None:
        tx.delete(Flavor, by_id_or_name(tx, Flavor, "flavor", flavor).id)

    await context.store.transact(remove)
    return Response(status_code=204)


@router.post("/keys", status_code=201)
async def add_key(context: Context, request: Request, order: KeyOrder) -> Response:
    def make(tx: Tx) -> views.View:
        public_key = checked_key(order.public_key, "public_key")
        key = KeyPair(
            id=context.ids.uuid(),
            name=order.name,
            public_key=public_key,
            tenant=context.who.tenant,
            created_at=tx.now(),
        )
        insert_key(tx, key)
        return views.key(key)

    return await once(context, request, 201, make)


@router.get("/keys")
async def list_keys(context: Context, request: Request, limit: Limit = 100, after: After = None) -> Response:
    where = {"tenant": context.who.tenant}
    found = await context.store.transact(lambda tx: tx.find(KeyPair, where=where, after=after, limit=limit))
    return page(request, [views.key(key) for key in found], limit)


@router.get("/keys/{key}")
async def show_key(context: Context, key: str) -> Response:
    return answer(views.key(await context.store.transact(lambda tx: find_key(tx, context.who.tenant, key))))


@router.delete("/keys/{key}", status_code=204)
async def delete_key(context: Context, key: str) -> Response:
    def remove(tx: Tx) -> None:
        remove_key(tx, find_key(tx, context.who.tenant, key))

    await context.store.transact(remove)
    return Response(status_code=204)
