"""Events, tokens, health, readiness, metrics."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from provisioner.api import views
from provisioner.api.answers import answer, page, problem
from provisioner.api.context import AfterEvent, Context, Limit, hash_token
from provisioner.core.errors import Conflict, NotFound, ProvisionerError
from provisioner.core.model import ApiToken, TimelineEvent
from provisioner.protocols.store import Tx

router = APIRouter(tags=["service"])


class TokenOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


@router.get("/v1/events")
async def events(context: Context, request: Request, limit: Limit = 1000, after: AfterEvent = 0) -> Response:
    """Everything that happened, to all nodes, oldest first."""
    found = await context.store.transact(lambda tx: tx.find(TimelineEvent, after=after, limit=limit))
    return page(request, [views.event(event) for event in found], limit)


@router.post("/v1/tokens", status_code=201)
async def create_token(context: Context, order: TokenOrder) -> Response:
    """A new API token. It is in this answer and nowhere else, so an Idempotency-Key can't bring it back:
    a repeated order is refused because its name is taken."""
    token = context.ids.secret()

    def make(tx: Tx) -> views.View:
        record = ApiToken(id=hash_token(token), name=order.name, created_at=tx.now())
        tx.insert(record)
        return views.token(record)

    return answer(await context.store.transact(make) | {"token": token}, 201)


@router.get("/v1/tokens")
async def list_tokens(context: Context) -> Response:
    found = await context.store.transact(lambda tx: tx.find(ApiToken))
    return answer({"items": [views.token(token) for token in found]})


@router.delete("/v1/tokens/{name}", status_code=204)
async def delete_token(context: Context, name: str) -> Response:
    def remove(tx: Tx) -> None:
        tokens = tx.find(ApiToken)
        doomed = [token for token in tokens if name in (token.name, token.id[:16])]
        if not doomed:
            raise NotFound(f"find token {name}", answer="there is no such token")
        if len(tokens) == len(doomed):
            raise Conflict(f"delete token {name}", answer="it is the last one", advice="Create another first")
        for token in doomed:
            tx.delete(ApiToken, token.id)

    await context.store.transact(remove)
    context.tokens.clear()
    return Response(status_code=204)


@router.get("/healthz")
async def health() -> Response:
    """The process runs and answers."""
    return answer({"status": "ok"})


@router.get("/readyz")
async def readiness(context: Context) -> Response:
    """Requests are taken, stored and worked on."""
    try:
        await context.store.transact(lambda tx: tx.now())
    except ProvisionerError as error:
        return problem(503, error.code, error.message)
    if not context.ready():
        return problem(503, "starting", "the compute host has not taken over its nodes yet")
    return answer({"status": "ready"})


@router.get("/metrics")
async def metrics(context: Context) -> Response:
    counted = await context.store.transact(context.metrics.count)
    return Response(context.metrics.text(counted), media_type="text/plain; version=0.0.4")
