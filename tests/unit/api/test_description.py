from __future__ import annotations

import json
from typing import Any

import pytest

from provisioner.api.application import describe
from provisioner.api.gate import OPEN_PATHS
from tests.unit.api.conftest import Api

DOCUMENT = describe()
OPERATIONS = [
    (verb, path, operation) for path, verbs in DOCUMENT["paths"].items() for verb, operation in verbs.items()
]


def test_the_document_is_the_same_with_and_without_a_running_provisioner(api: Api) -> None:
    served = api.get("/openapi.json")
    assert served == api.get("/openapi.json") == json.loads(json.dumps(DOCUMENT))


@pytest.mark.parametrize(("verb", "path", "operation"), OPERATIONS)
def test_every_operation_says_what_it_needs_and_how_it_fails(
    verb: str, path: str, operation: dict[str, Any]
) -> None:
    assert operation["security"] == ([] if path in OPEN_PATHS else [{"token": []}])
    assert "application/problem+json" in operation["responses"]["default"]["content"]
    assert "422" not in operation["responses"]


def test_every_operation_that_needs_a_token_refuses_without_one(api: Api) -> None:
    for verb, path, operation in OPERATIONS:
        if operation["security"]:
            answer = api.call(verb.upper(), path, headers={"Authorization": ""})
            assert answer.status_code == 401, (verb, path)


def test_every_reference_in_the_document_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in DOCUMENT["components"]["schemas"]


def test_a_problem_has_the_fields_that_are_described(api: Api) -> None:
    for problem in (api.get("/v1/nodes/n7", 404), api.post("/v1/nodes", {}, 422)):
        described = DOCUMENT["components"]["schemas"]["Problem"]
        assert set(problem) <= set(described["properties"])
        assert set(described["required"]) <= set(problem)
