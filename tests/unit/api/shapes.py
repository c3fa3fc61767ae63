"""Whether answers have the shapes that the OpenAPI document tells of."""

from __future__ import annotations

import json
import re

import httpx

from provisioner.api.shapes import PAGES, SINGLE, TEXTS
from tests.described import described

_OPERATIONS = [
    (verb, path, re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + r"\Z"), operation)
    for path, verbs in described()["paths"].items()
    for verb, operation in verbs.items()
]


def operation_of(answer: httpx.Response) -> tuple[str, str] | None:
    """Verb and path, as the document has them."""
    asked = answer.request
    for verb, path, matches, _ in _OPERATIONS:
        if verb == asked.method.lower() and matches.match(asked.url.path):
            return verb, path
    return None


def check(answer: httpx.Response) -> None:
    """A good answer of a described operation. Raises AssertionError, pydantic.ValidationError."""
    found = operation_of(answer)
    if found is None or not answer.is_success:
        return
    verb, path = found
    (described,) = (operation for v, p, _, operation in _OPERATIONS if (v, p) == found)
    assert str(answer.status_code) in described["responses"], (found, answer.status_code)
    if answer.status_code == 204:
        assert not answer.content
    elif path in TEXTS:
        assert answer.headers["content-type"].startswith("text/plain")
    elif (single := SINGLE.get(f"{verb} {path}")) is not None:
        single.model_validate_json(answer.content, strict=True)
    else:
        page = answer.json()
        assert set(page) <= {"items", "next"}
        for item in page["items"]:
            PAGES[path].model_validate_json(json.dumps(item), strict=True)
