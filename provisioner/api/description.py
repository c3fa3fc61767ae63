"""What the OpenAPI document says of every operation: its token, its answer, and what an error looks like."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from provisioner.api.gate import OPEN_PATHS
from provisioner.api.shapes import PAGES, SHAPES, SINGLE, TEXTS, Shape

REFERENCES = "#/components/schemas/{model}"

PROBLEM_TEXTS = ("type", "code", "title", "tried", "device", "answer", "advice", "field")

PROBLEM = {
    "type": "object",
    "description": "RFC 9457: what was tried, on which device, what came back, what to do next.",
    "required": ["type", "code", "title", "status"],
    "properties": {
        **{name: {"type": "string"} for name in PROBLEM_TEXTS},
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
    _, made = models_json_schema([(shape, "validation") for shape in SHAPES], ref_template=REFERENCES)
    schemas |= made["$defs"] | {"Problem": PROBLEM}
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            operation["responses"].pop("422", None)
            for status, told in operation["responses"].items():
                if status not in ("204", "default"):
                    told["content"] = _content(verb, path)
            operation["responses"]["default"] = ANY_PROBLEM
            operation["security"] = [] if path in OPEN_PATHS else [{"token": []}]
    return document


def _content(verb: str, path: str) -> dict[str, Any]:
    """Of a good answer."""
    if path in TEXTS:
        return {"text/plain": {"schema": {"type": "string"}}}
    single = SINGLE.get(f"{verb} {path}")
    return {"application/json": {"schema": _reference(single) if single is not None else _page(PAGES[path])}}


def _reference(shape: type[Shape]) -> dict[str, Any]:
    return {"$ref": REFERENCES.format(model=shape.__name__)}


def _page(shape: type[Shape]) -> dict[str, Any]:
    following = {"type": "string", "description": "Path of the next page; absent on the last."}
    return {
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"type": "array", "items": _reference(shape)}, "next": following},
        "additionalProperties": False,
    }
