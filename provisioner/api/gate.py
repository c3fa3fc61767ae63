"""What every request passes first: its size, its token; and what is counted of it."""

from __future__ import annotations

import asyncio
import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from provisioner.api.answers import address_of, problem, problem_of_error
from provisioner.api.audit import REFUSED, Entry
from provisioner.api.context import ApiContext
from provisioner.api.ec2 import endpoint as ec2
from provisioner.api.failures import Failures
from provisioner.api.limits import retry_after
from provisioner.api.unproven import Attempt, Unproven
from provisioner.core.errors import ProvisionerError

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json"})
"""What needs no token: nothing of it tells of a node or takes an order."""

IMAGE_CONTENT = re.compile("/v1/images/[^/]+/content")
"""An image's bytes are put there, which have no limit but the disk's."""

EC2_PATHS = frozenset(ec2.PATHS)
"""Requests there are signed; their bodies are bounded, and refusals told, as EC2's clients understand it."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
"""Any other is counted as "other": a client can't make labels up without end."""


class Gate:
    """ASGI middleware. A plain one: Starlette's BaseHTTPMiddleware starts tasks for each request."""

    def __init__(self, app: ASGIApp, context: ApiContext, unproven: Unproven, failures: Failures) -> None:
        self._app = app
        self._context = context
        self._unproven = unproven
        self._failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        clock = self._context.clock
        begun_s = clock.monotonic_s()
        answering = False

        async def counted(message: Message) -> None:
            nonlocal answering
            if message["type"] == "http.response.start":
                answering = True
                status = message["status"]
                self._count(request, status, clock.monotonic_s() - begun_s)
                entry: Entry | None = scope.get("state", {}).get("entry")
                if entry is not None:
                    message["headers"] = [*message["headers"], (b"x-request-id", entry.request_id.encode())]
                    if status >= 400:
                        outcome = REFUSED if status == 403 else f"failed:{status}"
                        await self._failures.tell(entry, outcome)
            await send(message)

        refusal = None
        if scope["path"] not in EC2_PATHS:
            most = self._context.limits.policy.body_bytes
            refusal = _refused_path(scope) or _refused_body(request, most)
            refusal = refusal or await self._refused_client(request)
        try:
            await (refusal or self._app)(scope, receive, counted)
        except asyncio.CancelledError:
            # By the server's shutdown. Its own answer would be bare text.
            if answering:
                raise
            await _cut_off()(scope, receive, counted)

    async def _refused_client(self, request: Request) -> Response | None:
        if request.scope["path"] in OPEN_PATHS:
            return None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        limits, now_s = self._context.limits, self._context.clock.monotonic_s()
        address = address_of(request)
        wait_s = limits.failures.wait_s(address, now_s)
        attempt = Attempt(operation="authenticate", address=address)
        if token and wait_s and not self._context.knows(token):
            await self._unproven.tell(attempt, _target(request))
            return _too_many("wrong credentials came from this address", wait_s)
        try:
            who = await self._context.owner_of(token) if token else None
        except ProvisionerError as error:
            return await problem_of_error(request, error)
        if who is None:
            if token:
                limits.failures.take(address, now_s)
            await self._unproven.tell(attempt, _target(request))
            return problem(
                401,
                "unauthorized",
                "this needs an API token: Authorization: Bearer …",
                headers={"WWW-Authenticate": "Bearer"},
                advice="The first token is in admin.token in the provisioner's state_dir",
            )
        wait_s = limits.request(who, now_s)
        if wait_s:
            return _too_many("requests came with this user's tokens", wait_s)
        request.state.token = token
        request.state.who = who
        return None

    def _count(self, request: Request, status: int, took_s: float) -> None:
        method = request.method if request.method in METHODS else "other"
        route = getattr(request.scope.get("route"), "path", "none")
        self._context.metrics.answered(method, route, status, took_s)


def _target(request: Request) -> str:
    method = request.method if request.method in METHODS else "other"
    return f"{method} {request.scope['path']}"


def _too_many(what: str, wait_s: float) -> Response:
    return problem(
        429,
        "too-many-requests",
        f"too many {what}",
        headers=retry_after(wait_s),
        advice="Try again after `Retry-After` seconds; `api.limits` of the configuration says how many",
    )


def _cut_off() -> Response:
    return problem(
        503,
        "ending",
        "this process is ending, and the request was not done by then",
        headers={"Retry-After": "1", "Connection": "close"},
        advice="Send it again; by its Idempotency-Key, if it has one, it is done once",
    )


def _refused_path(scope: Scope) -> Response | None:
    """There is nothing of such a name, and PostgreSQL can't even be asked for it."""
    if "\0" in scope["path"]:
        return problem(404, "not-found", "there is nothing of a name with a NUL in it")
    return None


def _refused_body(request: Request, most: int) -> Response | None:
    """Before a byte of it is read. The server sees to it that a body is as long as it says."""
    if request.method == "PUT" and IMAGE_CONTENT.fullmatch(request.scope["path"]):
        return None
    if "transfer-encoding" in request.headers:
        return problem(411, "length-required", "say how long the body is: Content-Length")
    length = request.headers.get("content-length", "0")
    if len(length) > 10 or not length.isascii() or not length.isdigit() or int(length) > most:
        return problem(413, "too-large", f"a request's body may have {most} bytes")
    return None
