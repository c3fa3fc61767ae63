"""The API as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from provisioner.api import catalog, images, instances, nodes, service
from provisioner.api.answers import problem, problem_of_error, problem_of_http, problem_of_input
from provisioner.api.context import ApiContext
from provisioner.api.image_fetches import ImageFetches
from provisioner.core.errors import ProvisionerError

MAX_BODY_BYTES = 2**20
"""Of every request but an image's content."""

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})
"""What needs no token: nothing of it tells of a node or takes an order."""

ROUTERS = (nodes.router, images.router, instances.router, catalog.router, service.router)

Following = Callable[[Request], Awaitable[Response]]


def build_app(context: ApiContext) -> FastAPI:
    """The application; its background work runs between its startup and its shutdown."""
    app = FastAPI(title="provisioner", version="1", lifespan=_lifespan, redoc_url=None)
    app.state.context = context
    app.state.fetches = ImageFetches(context)
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(ProvisionerError, problem_of_error)
    app.add_exception_handler(RequestValidationError, problem_of_input)
    app.add_exception_handler(HTTPException, problem_of_http)
    app.middleware("http")(_guard)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    fetching = asyncio.create_task(app.state.fetches.run())
    try:
        yield
    finally:
        fetching.cancel()
        with suppress(asyncio.CancelledError):
            await fetching


async def _guard(request: Request, following: Following) -> Response:
    """Token, size, time: for every request."""
    context: ApiContext = request.app.state.context
    begun_s = context.clock.monotonic_s()
    refusal = _too_large(request) or await _unknown(context, request)
    response = refusal or await following(request)
    route = getattr(request.scope.get("route"), "path", "none")
    took_s = context.clock.monotonic_s() - begun_s
    context.metrics.requests.labels(request.method, route, str(response.status_code)).observe(took_s)
    return response


async def _unknown(context: ApiContext, request: Request) -> Response | None:
    if request.url.path in OPEN_PATHS:
        return None
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and await context.accepts(token.strip()):
        request.state.token = token.strip()
        return None
    return problem(
        401,
        "unauthorized",
        "this needs an API token: Authorization: Bearer …",
        headers={"WWW-Authenticate": "Bearer"},
        advice="The first token is in admin.token in the provisioner's state_dir",
    )


def _too_large(request: Request) -> Response | None:
    if request.url.path.endswith("/content"):
        return None
    length = request.headers.get("content-length", "0")
    if request.method in ("POST", "PUT", "PATCH") and "content-length" not in request.headers:
        return problem(411, "length-required", "say how long the body is: Content-Length")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        return problem(413, "too-large", f"a request's body may have {MAX_BODY_BYTES} bytes")
    return None


def describe() -> dict[str, object]:
    """The OpenAPI document, without a running provisioner."""
    app = FastAPI(title="provisioner", version="1")
    for router in ROUTERS:
        app.include_router(router)
    return app.openapi()
