"""Nodes that are enrolled, shown, reserved, kept in maintenance and deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provisioner.core.model import ConsoleTail, Node, Port
from provisioner.core.states import DELETABLE, ProvisionState
from provisioner.protocols.power import DeviceSilence
from tests.unit.api.conftest import Api, node_entry, put_in_state


def test_a_node_is_enrolled_with_the_work_that_checks_it(api: Api) -> None:
    watch = api.store.watch("nodes")
    made = api.post("/v1/nodes", node_entry(), 201)
    assert made["state"] == "enrolling"
    assert made["work"]["step"] == "verify_power"
    assert made["ports"] == [{"mac": "52:54:00:77:00:01", "address": "10.77.0.100", "boot": True}]
    assert api.run(watch.wait(0))
    assert api.get("/v1/nodes/n1") == api.get(f"/v1/nodes/{made['id']}")


def test_disks_that_are_to_be_kept_are_stored_and_shown(api: Api) -> None:
    kept = [{"model": "SC16G"}, {"path": "/dev/mmcblk1"}]
    assert api.post("/v1/nodes", node_entry(keep_disks=kept), 201)["keep_disks"] == kept
    assert list(api.transact(lambda tx: tx.find(Node))[0].keep_disks) == kept
    assert api.get("/v1/nodes/n1")["root_device"] == {}


def test_a_password_is_stored_sealed_and_never_shown(api: Api) -> None:
    made = api.post("/v1/nodes", node_entry(), 201)
    for text in (json.dumps(made), api.call("GET", "/v1/nodes").text, api.call("GET", "/v1/nodes/n1").text):
        assert "sesame" not in text
        assert "sealed" not in text
        assert "10.78.0.101" in text
    stored = api.transact(lambda tx: tx.find(Node))[0]
    assert "sesame" not in stored.power_secret_sealed
    assert json.loads(api.box.open(stored.power_secret_sealed)) == {"password": "open-sesame"}


def test_a_power_driver_that_no_compute_host_has_is_refused_at_once(api: Api) -> None:
    refused = api.call("POST", "/v1/nodes", json=node_entry(power={"driver": "fake"}))
    assert refused.status_code == 422
    assert refused.json()["field"] == "power.driver"
    assert "can't use fake" in refused.json()["title"]
    assert api.transact(lambda tx: tx.find(Node)) == []


def test_addresses_are_given_in_turn_and_those_that_were_asked_for_are_left_out(api: Api) -> None:
    api.post(
        "/v1/nodes", node_entry("n1", 1, ports=[{"mac": "52:54:00:77:00:01", "address": "10.77.0.101"}]), 201
    )
    two = [{"mac": "52:54:00:77:00:02"}, {"mac": "52:54:00:77:00:03", "address": "10.77.0.100"}]
    api.post("/v1/nodes", node_entry("n2", 2, ports=two), 201)
    addresses = {port.id[-2:]: port.address for port in api.transact(lambda tx: tx.find(Port))}
    assert addresses == {"01": "10.77.0.101", "02": "10.77.0.102", "03": "10.77.0.100"}


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("10.77.0.1", "the provisioner's own"),
        ("10.77.0.2", "the gateway's"),
        ("10.77.0.0", "the first or the last one of 10.77.0.0/24"),
        ("10.77.0.255", "the first or the last one of 10.77.0.0/24"),
        ("10.78.0.9", "not in 10.77.0.0/24"),
    ],
)
def test_an_address_that_cannot_be_a_nodes_is_refused(api: Api, address: str, told: str) -> None:
    ports = [{"mac": "52:54:00:77:00:02"}, {"mac": "52:54:00:77:00:01", "address": address}]
    refused = api.post("/v1/nodes", node_entry("n1", 1, ports=ports), 422)
    assert (refused["field"], told in refused["title"]) == ("ports.1.address", True)
    assert api.transact(lambda tx: tx.find(Node)) == []


def test_an_empty_pool_is_said_and_an_address_comes_back_with_its_node(api: Api) -> None:
    for number in range(4):
        api.post("/v1/nodes", node_entry(f"n{number}", number), 201)
    told = api.post("/v1/nodes", node_entry("n9", 9), 409)
    assert "10.77.0.100-10.77.0.103" in told["title"]
    assert "network.pool" in told["advice"]
    assert api.call("DELETE", "/v1/nodes/n2").status_code == 204
    made = api.post("/v1/nodes", node_entry("n9", 9), 201)
    assert made["ports"][0]["address"] == "10.77.0.102"


@pytest.mark.parametrize(
    "entry",
    [
        node_entry("n1", 9),
        node_entry("n9", 1),
        node_entry("n9", 9, ports=[{"mac": "52:54:00:77:00:09", "address": "10.77.0.100"}]),
    ],
)
def test_a_name_a_mac_and_an_address_are_one_nodes_only(api: Api, entry: dict[str, Any]) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    api.post("/v1/nodes", entry, 409)
    assert [node["name"] for node in api.get("/v1/nodes")["items"]] == ["n1"]


def test_a_name_that_is_taken_is_told_with_how_to_correct_its_node(api: Api) -> None:
    api.post("/v1/nodes", node_entry("n9", 9), 201)
    told = api.post("/v1/nodes", node_entry("n9", 10), 409)
    assert told["title"].startswith("enrol node n9: a node of this name is enrolled")
    assert "node power-device" in told["advice"]


@pytest.mark.parametrize("state", list(ProvisionState))
def test_a_node_is_deleted_only_when_no_instance_is_on_it(api: Api, state: ProvisionState) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    put_in_state(api, state)
    status = api.call("DELETE", "/v1/nodes/n1").status_code
    assert status == (204 if state in DELETABLE else 409)
    assert api.transact(lambda tx: tx.count(Port)) == (0 if state in DELETABLE else 1)


def test_a_node_that_an_instance_has_is_not_deleted(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    put_in_state(api, ProvisionState.AVAILABLE, instance_id="i1")
    assert api.call("DELETE", "/v1/nodes/n1").status_code == 409


def test_maintenance_goes_on_and_off_with_its_reason(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    found = api.call("PUT", "/v1/nodes/n1/maintenance", json={"reason": "new PSU"}).json()
    assert (found["maintenance"], found["maintenance_reason"]) == (True, "new PSU")
    found = api.call("DELETE", "/v1/nodes/n1/maintenance").json()
    assert (found["maintenance"], found["maintenance_reason"]) == (False, "")


def test_a_node_is_reserved_for_a_tenant_that_there_is_and_for_none(api: Api) -> None:
    id = api.post("/v1/nodes", node_entry(), 201)["id"]
    blue, operator = api.user_of("blue", "member"), api.user_of("red", "operator")
    path, order = "/v1/nodes/n1/reservation", {"tenant": "blue"}
    assert blue.call("PUT", path, order).status_code == blue.call("DELETE", path).status_code == 403
    assert operator.call("PUT", path, {"tenant": "nobody"}).status_code == 404
    assert api.get("/v1/nodes/n1")["reserved_for"] == ""
    assert operator.call("PUT", path, order).json()["reserved_for"] == "blue"
    assert api.call("DELETE", "/v1/tenants/blue").status_code == 409
    assert operator.call("PUT", "/v1/nodes/n9/reservation", order).status_code == 404
    assert operator.call("DELETE", path).json()["reserved_for"] == ""
    asked = [one for one in api.get("/v1/audit")["items"] if one["target"].startswith(path)]
    told = [(one["user"], one["operation"].split()[0], one["outcome"]) for one in reversed(asked)]
    assert told == [
        ("blue-member", "PUT", "refused"),
        ("blue-member", "DELETE", "refused"),
        ("red-operator", "PUT", "failed:404"),
        ("red-operator", "PUT", "done"),
        ("red-operator", "DELETE", "done"),
    ]
    assert all(one["target"] == f"{path}/{id}" for one in asked if one["outcome"] == "done")


def test_a_node_that_is_not_there_is_said_by_name(api: Api) -> None:
    for path in ("/v1/nodes/n7", "/v1/nodes/n7/events", "/v1/nodes/n7/console"):
        assert "n7" in api.get(path, 404)["title"]


def test_a_power_device_that_is_left_alone_is_shown_and_counted(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    assert api.get("/v1/nodes/n1")["power_device_silence"] is None
    told = {"failures": 7, "retry_in_s": 40.0, "last_error": "no answer in 4 s"}
    api.context.silence = lambda node: DeviceSilence(**told) if node.name == "n1" else None  # type: ignore[arg-type]
    api.context.metrics.follow_devices(lambda: 1)
    assert api.get("/v1/nodes/n1")["power_device_silence"] == told
    assert api.get("/v1/nodes")["items"][0]["power_device_silence"] == told
    assert "provisioner_power_devices_left_alone 1.0" in api.call("GET", "/metrics").text


def test_what_its_console_said_goes_with_a_node(api: Api) -> None:
    made = api.post("/v1/nodes", node_entry(), 201)
    now = api.context_now()
    tail = ConsoleTail(id=made["id"], instance_id="gone", text="a secret", updated_at=now)
    api.transact(lambda tx: tx.insert(tail))
    assert api.call("DELETE", "/v1/nodes/n1").status_code == 204
    assert api.transact(lambda tx: tx.count(ConsoleTail)) == 0
