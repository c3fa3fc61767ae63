"""Disks of a node, after its enrolment."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.core.states import ACTING, InstanceState, ProvisionState
from tests.unit.api.conftest import Api, node_entry, put_in_state
from tests.unit.records import instance

PATH = "/v1/nodes/n1/disks"


def test_what_is_said_is_replaced_and_all_else_stays(api: Api) -> None:
    kept = [{"model": "SC16G"}, {"serial": "0x1c07"}]
    api.post("/v1/nodes", node_entry(keep_disks=kept, root_device={"wwn": "MISTYPED"}), 201)
    put_in_state(api, ProvisionState.AVAILABLE)

    def put(**order: Any) -> tuple[Any, Any]:
        watch = api.store.watch("nodes")
        found = api.call("PUT", PATH, json=order).json()
        assert api.run(watch.wait(0))
        assert found == api.get("/v1/nodes/n1")
        return found["root_device"], found["keep_disks"]

    assert put(root_device={"serial": "A", "model": "MZ7"}) == ({"serial": "A", "model": "MZ7"}, kept)
    assert put(keep_disks=kept[1:]) == ({"serial": "A", "model": "MZ7"}, kept[1:])
    assert put(keep_disks=[], root_device={}) == ({}, [])


@pytest.mark.parametrize("state", list(ProvisionState))
def test_disks_are_corrected_while_nothing_is_done_to_their_node(api: Api, state: ProvisionState) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    put_in_state(api, state)
    answer = api.call("PUT", PATH, json={"keep_disks": [{"path": "/dev/mmcblk1"}]})
    if state in ACTING:
        assert answer.status_code == 409
        assert f"change the disks of node n1: it is {state}. Wait until" in answer.json()["title"]
    else:
        assert (answer.status_code, answer.json()["state"]) == (200, state)
    assert len(api.get("/v1/nodes/n1")["keep_disks"]) == (0 if state in ACTING else 1)


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({}, "say root_device or keep_disks, or both"),
        ({"keep_disks": None}, "say root_device or keep_disks, or both"),
        ({"keep_disks": [{}]}, "say which disk: its serial, wwn, model or path"),
        ({"keep_disks": [{"seriall": "A"}]}, "seriall"),
        ({"keep_disks": [{"path": "/dev/sda"}] * 17}, "keep_disks"),
        ({"root_device": {"size": "A"}}, "root_device.size"),
        ({"root_device": {}, "disk_mib": 1}, "disk_mib"),
    ],
)
def test_disks_are_said_as_in_a_node_file(api: Api, order: dict[str, Any], told: str) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    put_in_state(api, ProvisionState.CLEAN_FAILED)
    answer = api.call("PUT", PATH, json=order)
    assert (answer.status_code, told in answer.text) == (422, True), answer.text


OWES = "it owes its last instance a full wipe: its disks may still hold that one's data"


def test_a_node_that_owes_a_wipe_is_deleted_only_by_who_says_so(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    put_in_state(api, ProvisionState.CLEAN_FAILED, wipe_owed="full")
    refused = api.call("DELETE", "/v1/nodes/n1")
    assert (refused.status_code, refused.json()["answer"]) == (409, OWES)
    assert "provisioner node clean" in refused.json()["advice"] and "--unwiped" in refused.json()["advice"]
    assert api.call("DELETE", "/v1/nodes/n1?unwiped=false").status_code == 409
    assert api.get("/v1/nodes/n1")["wipe_owed"] == "full"
    assert api.call("DELETE", "/v1/nodes/n1?unwiped=true").status_code == 204
    (told,) = [one for one in api.get("/v1/events")["items"] if one["name"] == "node.deleted"]
    assert told["text"] == "node n1 is no longer known; the full wipe that it owed was given up"
    asked = [one for one in api.get("/v1/audit")["items"] if one["operation"] == "DELETE /v1/nodes/{node}"]
    assert [(one["target"], one["outcome"]) for one in asked] == [
        ("/v1/nodes/n1?unwiped=true", "done"),
        ("/v1/nodes/n1", "failed:409"),
        ("/v1/nodes/n1", "failed:409"),
    ]


def test_a_board_without_disks_owes_none_of_them_a_wipe(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    put_in_state(api, ProvisionState.CLEAN_FAILED, wipe_owed="quick", boot_driver="tilera")
    assert api.call("DELETE", "/v1/nodes/n1").status_code == 204


def test_a_node_that_may_still_run_its_instance_is_not_deleted_unwiped_either(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    put_in_state(api, ProvisionState.CLEAN_FAILED, instance_id="i1")
    refused = api.call("DELETE", "/v1/nodes/n1?unwiped=true")
    assert refused.status_code == 409
    assert "its instance may still run" in refused.json()["answer"]
    assert "provisioner node clean" in refused.json()["advice"]


def test_a_machine_that_was_seen_without_power_is_deleted_with_its_instance(api: Api) -> None:
    id = api.post("/v1/nodes", node_entry(), 201)["id"]
    put_in_state(api, ProvisionState.CLEAN_FAILED, instance_id="i1")
    held = instance(id="i1", name="web", state=InstanceState.DELETING, delete_requested=True, node_id=id)
    api.transact(lambda tx: tx.insert(held))
    refused = api.call("DELETE", "/v1/nodes/n1?unplugged=true")
    assert (refused.status_code, "quick wipe" in refused.json()["answer"]) == (409, True)
    assert api.get("/v1/instances/web")["state"] == "deleting"
    assert api.call("DELETE", "/v1/nodes/n1?unplugged=true&unwiped=true").status_code == 204
    assert api.get("/v1/instances/i1")["state"] == "deleted"
    told = [event["text"] for event in api.get("/v1/instances/i1/timeline")["items"]]
    assert told == [
        "node n1 is no longer known; instance web is gone with it; the quick wipe that it owed was given up"
    ]
    done = [one["target"] for one in api.get("/v1/audit")["items"] if one["outcome"] == "done"]
    assert "/v1/nodes/n1?unwiped=true&unplugged=true" in done


@pytest.mark.parametrize(
    "state", [ProvisionState.ACTIVE, ProvisionState.CLEANING, ProvisionState.DEPLOY_FAILED]
)
def test_no_other_node_is_deleted_for_being_unplugged(api: Api, state: ProvisionState) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    put_in_state(api, state, instance_id="i1")
    assert api.call("DELETE", "/v1/nodes/n1?unplugged=true&unwiped=true").status_code == 409


def test_operators_correct_disks_and_that_is_recorded(api: Api) -> None:
    id = api.post("/v1/nodes", node_entry(), 201)["id"]
    put_in_state(api, ProvisionState.AVAILABLE)
    blue, operator = api.user_of("blue", "member"), api.user_of("red", "operator")
    order = {"root_device": {"serial": "A"}}
    assert blue.call("PUT", PATH, order).status_code == 403
    assert operator.call("PUT", PATH, order).status_code == 200
    asked = [one for one in api.get("/v1/audit")["items"] if one["target"].startswith(PATH)]
    told = [(one["user"], one["target"], one["outcome"]) for one in reversed(asked)]
    assert told == [("blue-member", PATH, "refused"), ("red-operator", f"{PATH}/{id}", "done")]
