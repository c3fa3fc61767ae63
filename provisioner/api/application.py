"""The API as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from provisioner.api import (
    access_keys,
    audit_log,
    catalog,
    description,
    hosts,
    images,
    instances,
    nodes,
    placement,
    service,
    tenants,
    tokens,
    users,
)
from provisioner.api.answers import (
    problem_of_defect,
    problem_of_error,
    problem_of_http,
    problem_of_input,
)
from provisioner.api.audit import forget_old_records
from provisioner.api.context import ApiContext
from provisioner.api.ec2 import endpoint as ec2
from provisioner.api.ec2.replays import forget_old_signatures
from provisioner.api.ec2.tag_pruning import forget_tags_of_nothing
from provisioner.api.failures import Failures
from provisioner.api.gate import Gate
from provisioner.api.housekeeping import (
    SHORT_ROUND_S,
    forget_old_answers,
    forget_old_requests,
    in_rounds,
)
from provisioner.api.image_fetches import ImageFetches
from provisioner.api.timeline_pruning import TimelinePruning
from provisioner.api.unproven import Unproven
from provisioner.core.errors import ProvisionerError

# No page of its own for trying things out: it would load scripts from elsewhere.
_OPTIONS: Mapping[str, Any] = {
    "title": "provisioner",
    "version": "1",
    "docs_url": None,
    "redoc_url": None,
    # What is measured stands in /metrics; FastAPI would look for exporters at each request.
    "telemetry": {"tracing": False, "metrics": False, "logs": False},
}

ROUTERS = (
    nodes.router,
    images.router,
    instances.router,
    placement.router,
    catalog.router,
    tenants.router,
    users.router,
    tokens.router,
    access_keys.router,
    audit_log.router,
    hosts.router,
    service.router,
)


def build_app(context: ApiContext) -> FastAPI:
    """The application; its background work runs between its startup and its shutdown."""
    app = FastAPI(**_OPTIONS, lifespan=_lifespan)
    app.router.routes.extend(_endpoints())
    app.openapi = lambda: description.describe(app)  # type: ignore[method-assign]
    app.state.context = context
    unproven = Unproven(context.store, context.clock, context.ids)
    app.state.unproven = unproven
    failures = Failures(context.store, context.clock, context.ids)
    app.state.failures = failures
    app.state.ec2 = ec2.Endpoint(context, unproven, failures)
    app.state.fetches = ImageFetches(context)
    app.add_exception_handler(ProvisionerError, problem_of_error)
    app.add_exception_handler(RequestValidationError, problem_of_input)
    app.add_exception_handler(HTTPException, problem_of_http)
    app.add_exception_handler(Exception, problem_of_defect)
    app.add_middleware(Gate, context=context, unproven=unproven, failures=failures)
    return app


def describe() -> dict[str, Any]:
    """The OpenAPI document, without a running provisioner."""
    app = FastAPI(**_OPTIONS)
    app.router.routes.extend(_endpoints())
    return description.describe(app)


@cache
def _endpoints() -> tuple[BaseRoute, ...]:
    """Of every application of this process: how a request is read and an answer is written is worked out
    at the first request of each, which takes longer than some thousand requests after it."""
    # Not by include_router, which looks for a request's route twice, through each router's own list.
    return (*(route for router in ROUTERS for route in router.routes), *ec2.ROUTES)


async def _forget_old_records(context: ApiContext) -> None:
    await forget_old_records(context.store, context.audit)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context: ApiContext = app.state.context
    background = [
        asyncio.create_task(app.state.fetches.run()),
        asyncio.create_task(app.state.unproven.run()),
        asyncio.create_task(app.state.failures.run()),
        asyncio.create_task(in_rounds(context, "old answers", forget_old_answers)),
        asyncio.create_task(in_rounds(context, "old signatures", forget_old_signatures, SHORT_ROUND_S)),
        asyncio.create_task(in_rounds(context, "old requests", forget_old_requests)),
        asyncio.create_task(in_rounds(context, "tags of nothing", forget_tags_of_nothing)),
        asyncio.create_task(in_rounds(context, "old audit records", _forget_old_records)),
        asyncio.create_task(TimelinePruning(context.store, context.clock, context.timeline).run()),
    ]
    try:
        yield
    finally:
        for task in background:
            task.cancel()
        await asyncio.wait(background)
        await app.state.unproven.close_window()
        await app.state.failures.close_window()
