"""Outlets that feed a node: each one node's only, and nothing secret of their URLs told."""

from __future__ import annotations

import json

import pytest

from provisioner.api import power_devices
from provisioner.api.context import ApiContext
from provisioner.config.node_power import PowerEntry
from provisioner.core.model import Node, Outlet, Port
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Tx
from tests.unit.api.conftest import Api, node_entry, put_in_state


def test_what_may_be_secret_in_the_urls_of_an_outlet_is_shown_to_nobody(api: Api) -> None:
    """Keys of webhooks; and logins, which were taken before they were refused."""
    api.context.power_drivers |= {"feeds", "http"}
    words = {"driver": "http", "when_on": "1", "when_off": "0"}
    asked = ("on", "off", "state")
    plugs = [
        {**words, **{which: f"http://{plug}/{which}?key=sesame#sesame" for which in asked}}
        for plug in ("left", "right")
    ]
    made = api.post("/v1/nodes", node_entry("n1", 1, power={"driver": "feeds", "feeds": plugs}), 201)
    (node,) = api.transact(lambda tx: tx.find(Node))
    left, right = node.power_address["feeds"]
    before = {"power_address": {"feeds": [{**left, "on": f"http://me:sesame@{left['on'][7:]}"}, right]}}
    api.transact(lambda tx: tx.update(Node, node.id, before))
    refused = api.post("/v1/nodes", node_entry("n2", 2, power=plugs[0]), 409)
    assert refused["answer"] == "the outlet at http://left/on feeds node n1 already"
    shown = api.get("/v1/nodes/n1")
    assert shown["power_address"] == made["power_address"]
    for plug, feed in zip(("left", "right"), shown["power_address"]["feeds"], strict=True):
        assert [feed[which] for which in asked] == [f"http://{plug}/{which}" for which in asked]
    assert "sesame" not in json.dumps([made, refused, shown, api.get("/v1/nodes")])


def test_an_outlet_is_one_nodes_only(api: Api) -> None:
    api.context.power_drivers |= {"snmp", "feeds"}
    snmp = {"driver": "snmp", "family": "apc_rackpdu", "address": "10.78.0.201", "community": "sesame"}
    first = {**snmp, "outlets": [3, 4]}
    other = {**snmp, "address": "10.78.0.202", "outlets": [3]}
    api.post("/v1/nodes", node_entry("n1", 1, power=first), 201)
    taken = {"driver": "feeds", "feeds": [other, {**snmp, "outlets": [4]}]}
    refused = api.post("/v1/nodes", node_entry("n2", 2, power=taken), 409)
    assert refused["answer"] == "outlet 4 of PDU 10.78.0.201:161 feeds node n1 already"
    assert "Look where its cable ends" in refused["advice"]
    api.post("/v1/nodes", node_entry("n2", 2, power=other), 201)


HOOK = {
    "driver": "http",
    **{name: f"http://plug/{name}?key=hook-secret" for name in ("on", "off", "state")},
    "when_on": "1",
    "when_off": "0",
    "method": "PUT",
}
SHOWN = HOOK | {name: f"http://plug/{name}" for name in ("on", "off", "state")}
del SHOWN["driver"]


def test_what_of_a_webhook_may_be_secret_is_sealed_and_nowhere_shown(api: Api) -> None:
    api.context.power_drivers |= {"http"}
    answer = api.post("/v1/nodes", {**node_entry(), "power": HOOK}, 201)
    assert answer["power_address"] == api.get("/v1/nodes/n1")["power_address"] == SHOWN
    (node,) = api.transact(lambda tx: tx.find(Node))
    assert "secret" not in str(node.power_address)
    sealed = json.loads(api.box.open(node.power_secret_sealed))
    assert sealed == {name: HOOK[name] for name in ("on", "off", "state")}
    refused = api.post("/v1/nodes", {**node_entry("n2", 2), "power": HOOK}, 409)
    assert refused["answer"] == "the outlet at http://plug/on feeds node n1 already"
    api.post("/v1/nodes", {**node_entry("n2", 2), "power": {**HOOK, "on": f"{HOOK['on']}&outlet=2"}}, 201)


def test_a_login_in_a_url_is_refused_and_not_shown(api: Api) -> None:
    api.context.power_drivers |= {"http"}
    power = {**HOOK, "off": "http://admin:off-secret@plug/off"}
    refused = api.post("/v1/nodes", {**node_entry(), "power": power}, 422)
    assert refused["field"] == "power.http.off"
    assert "give power.user and power.password, or power.token" in str(refused)
    assert "secret" not in str(refused)


def test_a_node_that_was_enrolled_with_whole_urls_is_shown_without_their_secrets(api: Api) -> None:
    api.context.power_drivers |= {"http"}
    api.post("/v1/nodes", {**node_entry(), "power": HOOK}, 201)
    (node,) = api.transact(lambda tx: tx.find(Node))
    before = {name: value for name, value in HOOK.items() if name != "driver"}
    before["off"] = "http://admin:off-secret@plug/off"
    stored = {"power_address": before, "power_secret_sealed": ""}
    api.transact(lambda tx: tx.update(Node, node.id, stored))
    assert api.get("/v1/nodes/n1")["power_address"] == SHOWN
    refused = api.post("/v1/nodes", {**node_entry("n2", 2), "power": HOOK}, 409)
    assert refused["answer"] == "the outlet at http://plug/on feeds node n1 already"
    feeds = {"power_address": {"feeds": [{"driver": "http", **before}]}}
    api.transact(lambda tx: tx.update(Node, node.id, feeds))
    assert api.get("/v1/nodes/n1")["power_address"] == {"feeds": [{"driver": "http", **SHOWN}]}


SNMP = {"driver": "snmp", "family": "apc_rackpdu", "address": "10.78.0.201", "community": "sesame"}


def test_an_outlet_of_a_deleted_node_is_free_again(api: Api) -> None:
    api.context.power_drivers |= {"snmp"}
    power = {**SNMP, "outlets": [3, 4]}
    api.post("/v1/nodes", node_entry("n1", 1, power=power), 201)
    assert api.transact(lambda tx: tx.count(Outlet)) == 2
    put_in_state(api, ProvisionState.AVAILABLE)
    assert api.call("DELETE", "/v1/nodes/n1").status_code == 204
    assert api.transact(lambda tx: tx.count(Outlet)) == 0
    api.post("/v1/nodes", node_entry("n2", 2, power=power), 201)


def test_an_outlet_of_a_node_that_is_gone_without_it_is_free(api: Api) -> None:
    """An API of the version before deletes the node alone."""
    api.context.power_drivers |= {"snmp"}
    power = {**SNMP, "outlets": [3]}
    made = api.post("/v1/nodes", node_entry("n1", 1, power=power), 201)
    api.transact(lambda tx: [tx.delete(Node, made["id"]), *(tx.delete(Port, p.id) for p in tx.find(Port))])
    made = api.post("/v1/nodes", node_entry("n2", 2, power=power), 201)
    assert [one.node_id for one in api.transact(lambda tx: tx.find(Outlet))] == [made["id"]]


def test_who_enrols_on_an_outlet_a_moment_too_late_is_told_whose_it_is(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other's is stored after it has looked: the table refuses it then, and it looks again."""
    api.context.power_drivers |= {"snmp"}
    power = {**SNMP, "outlets": [3]}
    api.post("/v1/nodes", node_entry("n1", 1, power=power), 201)
    look = power_devices.check
    looked: list[str] = []

    def late(tx: Tx, context: ApiContext, tried: str, power: PowerEntry) -> None:
        looked.append(tried)
        if len(looked) > 1:
            look(tx, context, tried, power)

    monkeypatch.setattr(power_devices, "check", late)
    refused = api.post("/v1/nodes", node_entry("n2", 2, power=power), 409)
    assert refused["answer"] == "outlet 3 of PDU 10.78.0.201:161 feeds node n1 already"
    assert looked == ["enrol node n2", "enrol node n2"]


def test_a_refused_node_leaves_no_outlet(api: Api) -> None:
    api.context.power_drivers |= {"snmp"}
    api.post("/v1/nodes", node_entry("n1", 1), 201)
    api.post("/v1/nodes", node_entry("n1", 2, power={**SNMP, "outlets": [3]}), 409)
    assert api.transact(lambda tx: tx.count(Outlet)) == 0


AUTO, RARITAN, APC = {"family": "auto"}, {"family": "raritan_pdu2"}, {"family": "apc_rackpdu"}
SECOND = {"unit": "2"}


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (AUTO, RARITAN, "outlet 1 of unit 1 of PDU 10.78.0.201:161 feeds node n1 already"),
        (RARITAN, AUTO, "outlet 1 of PDU 10.78.0.201:161 feeds node n1 already"),
        (AUTO, {**RARITAN, "unit": "1"}, "outlet 1 of unit 1 of PDU"),
        (AUTO, {**AUTO, "unit": "1"}, "outlet 1 of unit 1 of PDU"),
        (AUTO, {"family": "eatonpower"}, "outlet 1 of unit 0 of PDU"),
        (AUTO, {"family": "baytech_mrp27"}, "outlet 1 of unit 1 of PDU"),
        (AUTO, {"family": "servertech_sentry3"}, "outlet 1 of unit 1.1 of PDU"),
        (AUTO, {"family": "servertech_sentry4"}, "outlet 1 of unit 1.1 of PDU"),
        (AUTO, APC, "outlet 1 of PDU"),
        (APC, {**APC, "unit": "1"}, "outlet 1 of PDU"),
        ({**RARITAN, **SECOND}, {**AUTO, **SECOND}, "outlet 1 of unit 2 of PDU"),
        (AUTO, {**RARITAN, **SECOND}, ""),
        (AUTO, {**AUTO, **SECOND}, ""),
        (RARITAN, {**AUTO, **SECOND}, ""),
        (AUTO, {"family": "eatonpower", "unit": "1"}, ""),
    ],
)
def test_an_outlet_is_one_nodes_only_whether_its_unit_is_named_or_not(
    api: Api, first: dict[str, str], second: dict[str, str], told: str
) -> None:
    api.context.power_drivers |= {"snmp"}
    snmp = {"driver": "snmp", "address": "10.78.0.201", "outlets": [1], "community": "sesame"}
    api.post("/v1/nodes", node_entry("n1", 1, power={**snmp, **first}), 201)
    answer = api.post("/v1/nodes", node_entry("n2", 2, power={**snmp, **second}), 409 if told else 201)
    assert str(answer.get("answer", "")).startswith(told)
