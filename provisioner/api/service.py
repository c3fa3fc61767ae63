"""Events, health, readiness, metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from provisioner.api import views
from provisioner.api.answers import answer, page, problem
from provisioner.api.context import AfterEvent, Context, Limit
from provisioner.api.rights import GuardedRoute
from provisioner.core.errors import ProvisionerError
from provisioner.core.model import TimelineEvent

router = APIRouter(tags=["service"], route_class=GuardedRoute)


@router.get("/v1/events")
async def events(context: Context, request: Request, limit: Limit = 1000, after: AfterEvent = 0) -> Response:
    """Everything that happened, to all nodes, oldest first."""
    settled = await context.store.settled(TimelineEvent)
    found = await context.store.transact(lambda tx: tx.find(TimelineEvent, after=after, limit=limit))
    return page(request, views.events(context.who, found, settled), limit)


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
    largest = await context.metrics.offers.largest(context.store, context.clock)
    counted = await context.store.transact(lambda tx: context.metrics.count(tx, largest, context.left))
    return Response(context.metrics.text(counted), media_type="text/plain; version=0.0.4")
