"""What the API answers: JSON, and problem+json (RFC 9457) made from our errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from provisioner.config.source import message
from provisioner.core.errors import (
    Conflict,
    Forbidden,
    ImageInvalid,
    InvalidInput,
    NotFound,
    PermanentError,
    ProvisionerError,
    StateError,
    StorageFull,
    TooManyRequests,
    TransientError,
)

STATUS = (
    (NotFound, 404),
    (Forbidden, 403),
    (Conflict, 409),
    (InvalidInput, 422),
    (ImageInvalid, 422),
    (StorageFull, 507),
    (TooManyRequests, 429),
    (StateError, 409),
    (TransientError, 503),
    (PermanentError, 400),
)
"""First match counts."""


MAX_ADDRESS = 64
"""What a trusted proxy says of its client may be anything; an address is shorter."""


def address_of(request: Request) -> str:
    """Where a request came from, by a trusted proxy's word if through one; empty: from a UNIX socket."""
    return request.client.host[:MAX_ADDRESS] if request.client else ""


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(to_json(data), status, headers, media_type="application/json")


def page(request: Request, items: Sequence[Mapping[str, Any]], limit: int) -> Response:
    """One page of a list; `next` is the path of the following one, filters kept, absent on the last."""
    data: dict[str, Any] = {"items": items}
    if len(items) == limit:
        following = request.url.include_query_params(limit=limit, after=items[-1]["id"])
        data["next"] = f"{following.path}?{following.query}"
    return answer(data)


def problem(
    status: int, code: str, title: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    body = {"type": f"urn:provisioner:{code}", "code": code, "title": title, "status": status}
    body |= {key: value for key, value in more.items() if value}
    return Response(to_json(body), status, headers, media_type="application/problem+json")


async def problem_of_error(request: Request, error: Exception) -> Response:
    """Any of our errors, with its fields."""
    assert isinstance(error, ProvisionerError)
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    return problem(
        status,
        error.code,
        error.message,
        tried=error.tried,
        device=error.device,
        answer=error.answer,
        advice=error.advice,
        field=getattr(error, "field", ""),
        headers={"Retry-After": "1"} if status in (429, 503) else None,
    )


async def problem_of_input(request: Request, error: Exception) -> Response:
    """A request that doesn't have the shape it should have. Values aren't repeated: one may be a secret."""
    assert isinstance(error, RequestValidationError)
    told = [{"field": _field(p), "message": _message(p)} for p in error.errors()]
    title = "; ".join(f"{item['field'] or 'the body'}: {item['message']}" for item in told)
    return problem(422, "invalid-input", title, field=told[0]["field"] if told else "", errors=told)


def _field(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "json_invalid":
        return ""  # what stands in its place is where the text ends to be JSON
    return ".".join(str(part) for part in problem["loc"] if part != "body")


def _message(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "json_invalid":
        return f"it is no JSON from character {problem['loc'][-1]} on: {problem['ctx']['error']}"
    if problem["type"] == "model_attributes_type":
        is_body = tuple(problem["loc"]) == ("body",)
        return "it is no JSON object" + (", or its Content-Type isn't application/json" if is_body else "")
    return message(problem)


async def problem_of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    title = f"{request.method} {request.url.path}: {error.detail}"
    return problem(error.status_code, code, title, headers=error.headers)


async def problem_of_defect(request: Request, error: Exception) -> Response:
    """Something that shouldn't be: the log has it all, the client learns nothing of our inside."""
    return problem(
        500,
        "defect",
        f"{request.method} {request.url.path}: a defect of the provisioner ({type(error).__name__})",
        advice="Its log says more",
    )
