from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from provisioner.api.gate import OPEN_PATHS
from provisioner.core.model import Failure, Host, Instance, Node
from provisioner.core.states import InstanceState, ProvisionState
from tests.described import described
from tests.unit.api.conftest import Api, node_entry
from tests.unit.records import NOW, event

DOCUMENT = described()
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFl1bGV0aWRlIHRlc3Qga2V5IG9mIHRoZSBtb2RlbCEh lab"
HOST = Host(
    id="ch1", epoch=1, beat=0, ttl_ms=5000, holder="h", renewed_at=NOW, started_at=NOW, released=False
)
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


def test_every_operation_answers_with_the_shape_that_is_described(api: Api) -> None:
    """Whatever else is answered in these tests is held against its shape too."""
    api.register_images()
    api.get("/v1/images"), api.get("/v1/images/root"), api.get("/v1/flavors"), api.get("/v1/flavors/small")
    api.post("/v1/keys", {"name": "k", "public_key": KEY}, 201)
    api.get("/v1/keys"), api.get("/v1/keys/k")
    api.post("/v1/access-keys", {}, 201)
    access_key = api.get("/v1/access-keys")["items"][0]["id"]
    api.post("/v1/tenants", {"name": "blue"}, 201)
    api.post("/v1/users", {"name": "ann"}, 201)
    api.call("PUT", "/v1/users/ann", json={"role": "reader"})
    api.call("PUT", "/v1/images/root/sharing", json={"public": False})
    api.post("/v1/tokens", {"name": "t"}, 201)
    api.get("/v1/tokens"), api.get("/v1/audit"), api.get("/v1/tenants"), api.get("/v1/users")
    node = api.post("/v1/nodes", node_entry(), 201)["id"]
    api.transact(lambda tx: tx.insert(replace(event("step.done"), node_id=node), HOST))
    own(api, node, state=ProvisionState.CLEAN_FAILED, failure=Failure(code="x", message="it broke"))
    api.call("PUT", f"/v1/nodes/{node}/power-device", json=node_entry()["power"])
    request = api.post(f"/v1/nodes/{node}/power", {"verb": "on"}, 202)["id"]
    api.get(f"/v1/nodes/{node}/requests/{request}")
    api.post(f"/v1/nodes/{node}/clean", None, 202)
    own(api, node, state=ProvisionState.ENROL_FAILED, work=None)
    api.call("PUT", f"/v1/nodes/{node}/disks", json={"keep_disks": []})
    api.post(f"/v1/nodes/{node}/verify", None, 202)
    own(api, node, work=None, wipe_owed="")
    api.call("PUT", f"/v1/nodes/{node}/maintenance", json={"reason": "a fan"})
    api.call("DELETE", f"/v1/nodes/{node}/maintenance")
    api.call("PUT", f"/v1/nodes/{node}/reservation", json={"tenant": "default"})
    api.call("DELETE", f"/v1/nodes/{node}/reservation")
    api.post("/v1/placement", {"flavor": "small", "image": "root"}, 200)
    instance = api.post("/v1/instances", {"name": "web", "flavor": "small", "image": "root"}, 202)["id"]
    own(api, node, instance_id=instance)
    becomes(api, instance, node, InstanceState.ACTIVE)
    request = api.post(f"/v1/instances/{instance}/power", {"change": "stop"}, 202)["id"]
    api.get(f"/v1/instances/{instance}/requests/{request}")
    for path in ("/v1/nodes", f"/v1/nodes/{node}", f"/v1/nodes/{node}/events", "/v1/events"):
        assert api.get(path)
    for path in ("", f"/{instance}", f"/{instance}/timeline"):
        assert api.get(f"/v1/instances{path}")
    for path in (f"/v1/nodes/{node}/console", f"/v1/instances/{instance}/console", "/metrics"):
        api.call("GET", path)
    for path in ("/healthz", "/readyz", "/v1/hosts", "/v1/hosts/ch1"):
        assert api.get(path)
    own(api, node, instance_id=None)
    becomes(api, instance, None, InstanceState.REQUESTED)
    api.call("PUT", "/v1/hosts/ch1/drain")
    doomed = ("hosts/ch1/drain", "hosts/ch1", f"instances/{instance}", f"nodes/{node}", "flavors/small")
    api.transact(lambda tx: tx.update(Host, "ch1", {"released": True}))
    own(api, node, owner=None, state=ProvisionState.AVAILABLE)
    for path in (*doomed, "keys/k", "images/root", "tokens/t", "users/ann", "tenants/blue"):
        answer = api.call("DELETE", f"/v1/{path}")
        assert answer.is_success, answer.text
    for path in (f"access-keys/{access_key}",):
        answer = api.call("DELETE", f"/v1/{path}")
        assert answer.is_success, answer.text
    assert {(verb, path) for verb, path, _ in OPERATIONS} == api.answered


def own(api: Api, node: str, **changes: Any) -> None:
    api.transact(lambda tx: tx.update(Node, node, {"owner": "ch1", **changes}))


def becomes(api: Api, instance: str, node: str | None, state: InstanceState) -> None:
    api.transact(lambda tx: tx.update(Instance, instance, {"state": state, "node_id": node}))
