"""The API as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from provisioner.api import catalog, description, images, instances, nodes, service
from provisioner.api.answers import (
    problem_of_defect,
    problem_of_error,
    problem_of_http,
    problem_of_input,
)
from provisioner.api.context import ApiContext
from provisioner.api.gate import Gate
from provisioner.api.housekeeping import forget_old_answers
from provisioner.api.image_fetches import ImageFetches
from provisioner.api.timeline_pruning import TimelinePruning
from provisioner.core.errors import ProvisionerError

ROUTERS = (nodes.router, images.router, instances.router, catalog.router, service.router)


def build_app(context: ApiContext) -> FastAPI:
    """The application; its background work runs between its startup and its shutdown."""
    app = _routes(lifespan=_lifespan)
    app.openapi = lambda: description.describe(app)  # type: ignore[method-assign]
    app.state.context = context
    app.state.fetches = ImageFetches(context)
    app.add_exception_handler(ProvisionerError, problem_of_error)
    app.add_exception_handler(RequestValidationError, problem_of_input)
    app.add_exception_handler(HTTPException, problem_of_http)
    app.add_exception_handler(Exception, problem_of_defect)
    app.add_middleware(Gate, context=context)
    return app


def describe() -> dict[str, Any]:
    """The OpenAPI document, without a running provisioner."""
    return description.describe(_routes())


def _routes(**options: Any) -> FastAPI:
    # No page of its own for trying things out: it would load scripts from elsewhere.
    app = FastAPI(title="provisioner", version="1", docs_url=None, redoc_url=None, **options)
    for router in ROUTERS:
        app.include_router(router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context: ApiContext = app.state.context
    background = [
        asyncio.create_task(app.state.fetches.run()),
        asyncio.create_task(forget_old_answers(context)),
        asyncio.create_task(TimelinePruning(context.store, context.clock, context.timeline).run()),
    ]
    try:
        yield
    finally:
        for task in background:
            task.cancel()
        for task in background:
            with suppress(asyncio.CancelledError):
                await task
