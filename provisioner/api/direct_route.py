"""A request's way to its handler, without what none of ours needs.

FastAPI opens three stacks of clean-ups for each request, resolves dependencies of any depth anew, looks for
headers, cookies and forms, and wraps answers that are answers already: most of the time of a short request.
Ours depend on the context alone and answer by a `Response`. How parameters and bodies are checked, and what
is said of wrong ones, is FastAPI's, and so is the description of the API.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from fastapi.dependencies.utils import request_body_to_args, request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.params import Form
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from provisioner.api.context import context_of

NEEDS_MORE = (
    *("header_params", "cookie_params", "websocket_param_name", "http_connection_param_name"),
    *("response_param_name", "background_tasks_param_name", "security_scopes_param_name", "concurrency"),
)
"""Of FastAPI's account of a handler: what only FastAPI's own way provides."""


def direct(route: APIRoute) -> ASGIApp:
    """What answers the route's requests; FastAPI's own when the route asks for more than ours do."""
    dependant, handler, body_field = route.dependant, route.endpoint, route.body_field
    depends_on = [one.call for one in dependant.dependencies]
    plain = (
        depends_on in ([], [context_of])
        and handler.__annotations__.get("return") == "Response"
        and not any(getattr(dependant, name) for name in NEEDS_MORE)
        and not (body_field is not None and isinstance(body_field.field_info, Form))
    )
    if not plain:
        return route.app
    context_name = dependant.dependencies[0].name if depends_on else None
    request_name, embedded = dependant.request_param_name, route._embed_body_fields
    in_path, in_query, in_body = dependant.path_params, dependant.query_params, dependant.body_params

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        values: dict[str, Any] = {}
        errors: list[Any] = []
        if in_path:
            values, errors = request_params_to_args(in_path, request.path_params)
        if in_query:
            found, wrong = request_params_to_args(in_query, request.query_params)
            values |= found
            errors += wrong
        if in_body:
            body = await _body(request)
            found, wrong = await request_body_to_args(in_body, body, embedded)
            values |= found
            errors += wrong
        if errors:
            raise RequestValidationError(errors)
        if request_name is not None:
            values[request_name] = request
        if context_name is not None:
            values[context_name] = await context_of(request)
        answer = await handler(**values)
        await answer(scope, receive, send)

    return app


async def _body(request: Request) -> Any:
    """None when there is none; bytes when it doesn't say that it is JSON."""
    content = await request.body()
    if not content:
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    main, _, sub = kind.partition("/")
    if main != "application" or not (sub == "json" or sub.endswith("+json")):
        return content
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        told = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
        raise RequestValidationError([{**told, "ctx": {"error": error.msg}}]) from error
    except Exception as error:
        raise HTTPException(400, "There was an error parsing the body") from error
