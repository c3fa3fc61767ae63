from __future__ import annotations

from typing import Any

import pytest

from provisioner.core.errors import (
    Conflict,
    InvalidInput,
    LeaseLost,
    NotFound,
    PermanentError,
    ProvisionerError,
    StorageFull,
    TransientError,
)
from tests.unit.api.conftest import Api, node_entry


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("find it"), 404),
        (Conflict("change it"), 409),
        (InvalidInput("use it", field="colour"), 422),
        (StorageFull("keep it"), 507),
        (TransientError("reach it"), 503),
        (LeaseLost("write it"), 409),
        (PermanentError("do it", device="BMC", answer="no", advice="Ask another"), 400),
        (ProvisionerError("do it"), 500),
    ],
)
def test_our_errors_are_problems_with_all_their_fields(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: ProvisionerError, status: int
) -> None:
    async def fail(work: Any) -> Any:
        raise error

    api.get("/v1/nodes")  # so that the token is known without the store
    monkeypatch.setattr(api.store, "transact", fail)
    answer = api.call("GET", "/v1/nodes")
    told = answer.json()
    assert answer.status_code == told["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["type"] == f"urn:provisioner:{error.code}"
    assert told["title"] == error.message
    assert told.get("device", "") == error.device
    assert told.get("advice", "") == error.advice
    assert ("retry-after" in answer.headers) == (status == 503)
    monkeypatch.undo()


def test_a_defect_is_a_problem_that_tells_nothing_of_our_inside(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(work: Any) -> Any:
        raise ZeroDivisionError("secret of the inside")

    api.get("/v1/nodes")
    monkeypatch.setattr(api.store, "transact", fail)
    answer = api.call("GET", "/v1/nodes")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "inside" not in answer.text
    monkeypatch.undo()


def test_paths_and_methods_that_are_not_there_are_problems_too(api: Api) -> None:
    assert api.get("/v1/coffee", 404)["code"] == "not-found"
    answer = api.call("DELETE", "/v1/nodes")
    assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        (node_entry(vcpus="many"), "vcpus"),
        (node_entry(colour="red"), "colour"),
        (node_entry(ports=[{"mac": "nonsense"}]), "ports.0.mac"),
        ([], ""),
    ],
)
def test_what_is_wrong_with_a_request_is_told_by_field(api: Api, body: Any, field: str) -> None:
    told = api.post("/v1/nodes", body, 422)
    assert field in [error["field"] for error in told["errors"]]
    assert told["code"] == "invalid-input"


def test_a_body_that_is_no_json_is_refused(api: Api) -> None:
    answer = api.call("POST", "/v1/nodes", content=b"{nodes: []}")
    assert answer.status_code == 422


def test_a_refused_request_does_not_repeat_its_secrets(api: Api) -> None:
    entry = node_entry()
    entry["power"]["pasword"] = entry["power"].pop("password")
    assert "open-sesame" not in str(api.post("/v1/nodes", entry, 422))


def test_lists_come_in_pages_that_lead_to_each_other_with_their_filters(api: Api) -> None:
    for number in range(4):
        api.post("/v1/nodes", node_entry(f"n{number}", number), 201)
    path, seen = "/v1/nodes?limit=3&state=enrolling", []
    while path:
        found = api.get(path)
        seen.append([node["name"] for node in found["items"]])
        assert "next" not in found or "state=enrolling" in found["next"]
        path = found.get("next", "")
    assert seen == [["n0", "n1", "n2"], ["n3"]]
    assert api.get("/v1/nodes?state=active")["items"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "state=nonsense"])
def test_a_page_that_cannot_be_is_refused(api: Api, query: str) -> None:
    api.get(f"/v1/nodes?{query}", 422)


def test_readiness_needs_the_store_and_the_host(api: Api) -> None:
    assert api.get("/readyz") == {"status": "ready"}
    api.context.ready = lambda: False
    assert api.get("/readyz", 503)["code"] == "starting"
    api.run(api.store.close())
    assert api.get("/readyz", 503)["code"] == "transient"
    assert api.get("/healthz") == {"status": "ok"}


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        ('{"name": ', "application/json", "the body: it is no JSON from character 9 on: "),
        (
            "[]",
            "application/json",
            "the body: it is no JSON object, or its Content-Type isn't application/json",
        ),
        ('{"name": "x"}', "text/plain", "the body: it is no JSON object, or its Content-Type isn't"),
    ],
)
def test_a_body_that_is_no_json_object_is_told_so(api: Api, body: str, kind: str, told: str) -> None:
    answer = api.call("POST", "/v1/keys", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert answer.json()["title"].startswith(told)
    assert "field" not in answer.json()


def test_a_part_of_a_body_that_is_no_object_is_not_blamed_on_its_content_type(api: Api) -> None:
    answer = api.post("/v1/nodes", {**node_entry(), "power": "ipmi", "root_device": 3}, 422)
    told = {error["field"]: error["message"] for error in answer["errors"]}
    assert told["root_device"] == "it is no JSON object"
    assert "Content-Type" not in answer["title"]
