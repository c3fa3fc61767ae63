"""The power device of a node, after its enrolment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provisioner.api import power_devices
from provisioner.api.context import ApiContext
from provisioner.config.node_power import PowerEntry
from provisioner.core.model import Node, Outlet
from provisioner.core.states import ACTING, PowerState, ProvisionState
from provisioner.protocols.store import Tx
from tests.unit.api.conftest import Api, node_entry

PATH = "/v1/nodes/n1/power-device"
BMC = {"driver": "ipmi", "address": "10.78.0.99", "user": "root", "password": "new-sesame"}
PDU = {"driver": "snmp", "family": "apc_rackpdu", "address": "10.78.0.201", "community": "sesame"}


def enrol(api: Api, name: str = "n1", number: int = 1, **power: Any) -> None:
    api.context.power_drivers |= {"snmp"}
    entry = node_entry(name, number, **({"power": power} if power else {}))
    api.post("/v1/nodes", entry, 201)


def put_in_state(api: Api, state: ProvisionState, **changes: Any) -> Node:
    def change(tx: Tx) -> Node:
        (node,) = tx.find(Node, where={"name": "n1"})
        work = node.work if state in ACTING else None
        tx.update(Node, node.id, {"state": state, "work": work, "power_state": PowerState.OFF, **changes})
        return node

    return api.transact(change)


def put(api: Api, power: dict[str, Any], status: int) -> Any:
    answer = api.call("PUT", PATH, json=power)
    assert answer.status_code == status, answer.text
    return answer.json()


def outlets(api: Api) -> dict[str, str]:
    names = {node.id: node.name for node in api.transact(lambda tx: tx.find(Node))}
    found = api.transact(lambda tx: tx.find(Outlet))
    return {one.name.partition(" of ")[0]: names[one.node_id] for one in found}


@pytest.mark.parametrize("state", [state for state in ProvisionState if state not in ACTING])
def test_it_is_corrected_while_the_node_is_not_worked_on(api: Api, state: ProvisionState) -> None:
    enrol(api)
    put_in_state(api, state)
    watch = api.store.watch("nodes")
    found = put(api, BMC, 200)
    assert api.run(watch.wait(0))
    (node,) = api.transact(lambda tx: tx.find(Node))
    address = {"address": "10.78.0.99", "port": 623, "user": "root"}
    assert found["power_address"] == api.get("/v1/nodes/n1")["power_address"] == address
    assert json.loads(api.box.open(node.power_secret_sealed)) == {"password": "new-sesame"}
    assert "sesame" not in json.dumps(found)
    assert node.power_state is PowerState.UNKNOWN, "the old device said the rest"
    checked = state in (ProvisionState.AVAILABLE, ProvisionState.ENROL_FAILED)
    assert node.state is (ProvisionState.ENROLLING if checked else state)
    assert (node.work.step if node.work else None) == ("verify_power" if checked else None)


@pytest.mark.parametrize("state", sorted(ACTING))
def test_what_is_worked_on_keeps_the_device_that_it_has(api: Api, state: ProvisionState) -> None:
    enrol(api)
    before = put_in_state(api, state)
    refused = put(api, BMC, 409)
    assert f"change the power device of node n1: it is {state}. Wait until" in refused["title"]
    (node,) = api.transact(lambda tx: tx.find(Node))
    assert node.power_address == before.power_address
    assert node.power_secret_sealed == before.power_secret_sealed


def test_an_order_that_is_being_carried_out_is_waited_for(api: Api) -> None:
    enrol(api, **PDU, outlets=[3])
    put_in_state(api, ProvisionState.ACTIVE)
    api.post("/v1/nodes/n1/power", {"verb": "off"}, 202)
    assert "an order of power is being carried out" in put(api, {**PDU, "outlets": [4]}, 409)["title"]
    assert outlets(api) == {"outlet 3": "n1"}


def test_its_outlets_are_taken_and_those_that_it_had_are_free(api: Api) -> None:
    enrol(api, **PDU, outlets=[3, 4])
    put_in_state(api, ProvisionState.CLEAN_FAILED, instance_id="i1")
    put(api, {**PDU, "outlets": [4, 5]}, 200)
    assert outlets(api) == {"outlet 4": "n1", "outlet 5": "n1"}
    enrol(api, "n2", 2, **PDU, outlets=[3])
    put(api, BMC, 200)
    assert outlets(api) == {"outlet 3": "n2"}


def test_an_outlet_that_feeds_another_node_is_refused_and_all_stays(api: Api) -> None:
    enrol(api, **PDU, outlets=[3])
    enrol(api, "n2", 2, **PDU, outlets=[4])
    before = put_in_state(api, ProvisionState.ACTIVE)
    refused = put(api, {**PDU, "outlets": [3, 4]}, 409)
    assert refused["answer"] == "outlet 4 of PDU 10.78.0.201:161 feeds node n2 already"
    assert "provisioner node power-device" in refused["advice"]
    assert outlets(api) == {"outlet 3": "n1", "outlet 4": "n2"}
    (node,) = api.transact(lambda tx: tx.find(Node, where={"name": "n1"}))
    assert node.power_address == before.power_address


def test_who_takes_an_outlet_a_moment_too_late_is_told_whose_it_is(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(api, **PDU, outlets=[3])
    enrol(api, "n2", 2, **PDU, outlets=[4])
    put_in_state(api, ProvisionState.ACTIVE)
    look, looked = power_devices.check, []

    def late(tx: Tx, context: ApiContext, tried: str, power: PowerEntry, node_id: str) -> None:
        looked.append(tried)
        if len(looked) > 1:
            look(tx, context, tried, power, node_id)

    monkeypatch.setattr(power_devices, "check", late)
    assert "feeds node n2 already" in put(api, {**PDU, "outlets": [4]}, 409)["title"]
    assert outlets(api) == {"outlet 3": "n1", "outlet 4": "n2"}


@pytest.mark.parametrize(
    ("power", "told"),
    [
        ({"driver": "fake"}, "this provisioner can't use fake"),
        ({**BMC, "pasword": "sesame"}, "ipmi.pasword"),
        ({**PDU, "outlets": [1000]}, "there is no outlet 1000"),
        ({"address": "10.78.0.99"}, "driver"),
    ],
)
def test_it_is_said_as_in_a_node_file(api: Api, power: dict[str, Any], told: str) -> None:
    enrol(api)
    put_in_state(api, ProvisionState.CLEAN_FAILED)
    answer = api.call("PUT", PATH, json=power)
    assert (answer.status_code, told in answer.text) == (422, True), answer.text
    assert "sesame" not in answer.text


def test_operators_correct_it_and_that_is_recorded(api: Api) -> None:
    enrol(api)
    node = put_in_state(api, ProvisionState.ACTIVE)
    blue, operator = api.user_of("blue", "member"), api.user_of("red", "operator")
    assert blue.call("PUT", PATH, BMC).status_code == 403
    assert operator.call("PUT", PATH, BMC).status_code == 200
    asked = [one for one in api.get("/v1/audit")["items"] if one["target"].startswith(PATH)]
    told = [(one["user"], one["target"], one["outcome"]) for one in reversed(asked)]
    assert told == [("blue-member", PATH, "refused"), ("red-operator", f"{PATH}/{node.id}", "done")]
