from __future__ import annotations

from provisioner.core.model import Instance, Node
from provisioner.core.states import ProvisionState
from tests.unit.api.conftest import Api, node_entry


def test_a_dry_run_tells_the_node_and_why_not_the_others_and_claims_nothing(api: Api) -> None:
    api.register_images()
    for number, name in enumerate(("small", "large", "broken"), 1):
        memory_mib = 4096 if name == "large" else 1024
        api.post("/v1/nodes", node_entry(name, number, memory_mib=memory_mib), 201)
    for node in api.get("/v1/nodes")["items"]:
        changes = {"owner": "ch1", "state": ProvisionState.AVAILABLE, "maintenance": node["name"] == "broken"}
        api.transact(lambda tx, id=node["id"], changes=changes: tx.update(Node, id, changes))
    api.post("/v1/flavors", {"name": "wide", "extra_specs": {"memory_mib": ">= 2048"}}, 201)
    found = api.post("/v1/placement", {"flavor": "wide", "image": "root"}, 200)
    assert found["node"] == "large"
    assert {one["node"]: one["why"] for one in found["refused"]} == {
        "small": "its memory_mib is 1024, >= 2048 is asked for",
        "broken": "it is in maintenance",
    }
    found = api.post("/v1/placement", {"flavor": "wide", "image": "root", "node": "small"}, 200)
    assert found["node"] is None
    assert "its memory_mib is 1024" in found["why"] or "the request names node small" in found["why"]
    assert api.transact(lambda tx: tx.count(Instance)) == 0
    api.post("/v1/placement", {"flavor": "none", "image": "root"}, 404)


def test_what_an_agent_found_is_not_told_as_unknown_where_sizes_speak_against_a_node(api: Api) -> None:
    api.register_images()
    api.post("/v1/nodes", node_entry("n1"), 201)
    (found,) = api.get("/v1/nodes")["items"]
    seen = {"disks": [{"rotational": False}], "nics": [], "traits": ["tpm"]}
    changes = {
        "owner": "ch1",
        "state": ProvisionState.AVAILABLE,
        "inventory": seen,
        "capabilities": {"a": "b"},
    }
    api.transact(lambda tx: tx.update(Node, found["id"], changes))
    for name, value in {"ssd": "true", "trait:tpm": "required", "capabilities:a": "b"}.items():
        flavor = {"name": f"wide-{value}", "memory_mib": 2**20, "extra_specs": {name: value}}
        api.post("/v1/flavors", flavor, 201)
        told = api.post("/v1/placement", {"flavor": flavor["name"], "image": "root"}, 200)["refused"]
        assert [one["why"] for one in told] == [
            f"it has {found['memory_mib']} MiB of memory, 1048576 are needed"
        ]


def test_a_dry_run_refuses_an_image_as_the_request_would(api: Api) -> None:
    api.register_images()
    api.post("/v1/flavors", {"name": "any"}, 201)
    api.post("/v1/images", {"name": "unsent", "kind": "disk"}, 201)
    told = api.post("/v1/placement", {"flavor": "any", "image": "unsent"}, 409)
    assert told["answer"] == "image unsent is queued"
    assert api.post("/v1/placement", {"flavor": "any", "image": "kernel"}, 422)["field"] == "image"
    api.post("/v1/flavors", {"name": "on-arm", "extra_specs": {"cpu_arch": "arm64"}}, 201)
    assert api.post("/v1/placement", {"flavor": "on-arm", "image": "root"}, 422)["field"] == "image"


def test_a_flavor_that_asks_for_what_nobody_knows_is_refused(api: Api) -> None:
    told = api.post("/v1/flavors", {"name": "odd", "extra_specs": {"colour": "red"}}, 422)
    assert told["field"] == "extra_specs.colour"
    assert "cpu_arch" in told["advice"]
