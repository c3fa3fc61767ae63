"""What the OpenAPI document says of every operation: the token it needs, and what an error looks like."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from provisioner.api.gate import OPEN_PATHS

TEXTS = ("type", "code", "title", "tried", "device", "answer", "advice", "field")

PROBLEM = {
    "type": "object",
    "description": "RFC 9457: what was tried, on which device, what came back, what to do next.",
    "required": ["type", "code", "title", "status"],
    "properties": {
        **{name: {"type": "string"} for name in TEXTS},
        "status": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
ANY_PROBLEM = {
    "description": "What went wrong.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The document. FastAPI's own idea of an error, which we never answer with, is taken out of it."""
    document = FastAPI.openapi(app)
    parts = document.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = PROBLEM
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = ANY_PROBLEM
            operation["security"] = [] if path in OPEN_PATHS else [{"token": []}]
    return document
