from __future__ import annotations

import json
from typing import Any

import pytest

from provisioner.api import power_devices
from provisioner.api.context import ApiContext
from provisioner.api.housekeeping import REQUEST_KEPT_S, forget_old_requests
from provisioner.config.node_power import PowerEntry
from provisioner.core.model import ConsoleTail, Failure, Node, NodeRequest, Outlet, Port, Work
from provisioner.core.states import DELETABLE, ProvisionState
from provisioner.protocols.power import DeviceSilence
from provisioner.protocols.store import Tx
from tests.unit.api.conftest import Api, node_entry


def put_in_state(api: Api, state: ProvisionState, **changes: Any) -> None:
    def change(tx: Any) -> None:
        (node,) = tx.find(Node, where={"name": "n1"})
        tx.update(Node, node.id, {"state": state, "work": None, **changes})

    api.transact(change)


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
        (APC, {**APC, **SECOND}, "outlet 1 of PDU"),
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


def test_power_is_asked_of_the_nodes_owner(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    watch = api.store.watch("requests")
    order = api.post("/v1/nodes/n1/power", {"verb": "on"}, 202)
    assert api.run(watch.wait(0))
    assert (order["verb"], order["state"]) == ("power:on", "pending")
    api.transact(lambda tx: tx.update(NodeRequest, order["id"], {"state": "done", "answer": "power is on"}))
    assert api.get(f"/v1/nodes/n1/requests/{order['id']}")["answer"] == "power is on"


def test_an_order_that_is_pending_already_is_no_second_one(api: Api) -> None:
    for number in (1, 2):
        api.post("/v1/nodes", node_entry(f"n{number}", number), 201)

    def ask(verb: str, node: str = "n1") -> str:
        return str(api.post(f"/v1/nodes/{node}/power", {"verb": verb}, 202)["id"])

    first = ask("off")
    assert ask("off") == first
    assert ask("off", "n2") != first
    # Of orders that undo one another none is too many.
    api.advanced_s = 1
    between = ask("on")
    api.advanced_s = 2
    again = ask("off")
    assert len({first, between, again}) == 3
    api.transact(lambda tx: tx.update(NodeRequest, again, {"state": "done"}))
    assert ask("on") == between
    api.transact(lambda tx: tx.update(NodeRequest, between, {"state": "done"}))
    api.transact(lambda tx: tx.update(NodeRequest, first, {"state": "done"}))
    assert ask("off") not in (first, again), "one that was answered is asked for again"


def test_requests_are_forgotten_a_day_after_their_answer_or_with_their_node(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    api.post("/v1/nodes", node_entry("n2", 2), 201)
    put_in_state(api, ProvisionState.AVAILABLE)

    def asked(node: str) -> str:
        return str(api.post(f"/v1/nodes/{node}/power", {"verb": "on"}, 202)["id"])

    def left() -> set[str]:
        api.run(forget_old_requests(api.context))
        return {request.id for request in api.transact(lambda tx: tx.find(NodeRequest))}

    nobodys, answered = asked("n1"), asked("n2")
    api.transact(lambda tx: tx.update(NodeRequest, answered, {"state": "done"}))
    waits = asked("n2")
    assert left() == {nobodys, waits, answered}
    assert api.call("DELETE", "/v1/nodes/n1").status_code == 204
    assert left() == {waits, answered}
    api.advanced_s = REQUEST_KEPT_S + 1
    assert left() == {waits}


def test_a_request_is_found_under_its_own_node_only(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    api.post("/v1/nodes", node_entry("n2", 2), 201)
    order = api.post("/v1/nodes/n1/power", {"verb": "off"}, 202)
    api.get(f"/v1/nodes/n2/requests/{order['id']}", 404)
    api.post("/v1/nodes/n1/power", {"verb": "explode"}, 422)
    api.post("/v1/nodes/n3/power", {"verb": "on"}, 404)


@pytest.mark.parametrize("state", list(ProvisionState))
def test_a_check_is_repeated_only_where_the_state_table_has_it(api: Api, state: ProvisionState) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    put_in_state(api, state, failure=Failure(code="x", message="refused"))
    answer = api.call("POST", "/v1/nodes/n1/verify")
    if state in (ProvisionState.ENROL_FAILED, ProvisionState.AVAILABLE):
        found = answer.json()
        assert (answer.status_code, found["state"], found["failure"]) == (202, "enrolling", None)
        assert found["work"]["plan"] == "enrol"
    else:
        assert answer.status_code == 409
        assert f"verify node n1: it is {state}" in answer.json()["title"]
        assert answer.json()["advice"]


@pytest.mark.parametrize("state", list(ProvisionState))
def test_a_node_is_cleaned_when_it_is_free_or_its_cleaning_failed(api: Api, state: ProvisionState) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    put_in_state(api, state)
    answer = api.call("POST", "/v1/nodes/n1/clean")
    if state in (ProvisionState.CLEAN_FAILED, ProvisionState.AVAILABLE):
        found = answer.json()
        assert (answer.status_code, found["state"]) == (202, "cleaning")
        assert (found["work"]["plan"], found["work"]["step"]) == ("clean", "withdraw_instance")
        assert found["wipe_owed"] == "quick"
    else:
        assert answer.status_code == 409


@pytest.mark.parametrize(
    ("owed", "asked", "owes"), [("", "full", "full"), ("full", "quick", "full"), ("quick", "full", "full")]
)
def test_a_wipe_that_was_promised_is_not_lessened(api: Api, owed: str, asked: str, owes: str) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    put_in_state(api, ProvisionState.CLEAN_FAILED)
    api.transact(lambda tx: tx.update(Node, tx.find(Node)[0].id, {"wipe_owed": owed}))
    assert api.post("/v1/nodes/n1/clean", {"wipe": asked}, 202)["wipe_owed"] == owes
    api.post("/v1/nodes/n1/clean", {"wipe": "some"}, 422)


def test_progress_is_shown_with_the_step_and_the_steps_own_business_is_not(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    work = Work(
        id="w",
        plan="deploy-iscsi",
        step="write_image",
        entered_at=api.context_now(),
        facts={"chap": "hidden"},
    )
    put_in_state(api, ProvisionState.DEPLOYING)
    api.transact(lambda tx: tx.update(Node, tx.find(Node)[0].id, {"work": work}))
    api.context.progress = lambda node_id: 0.25
    found = api.get("/v1/nodes/n1")["work"]
    assert (found["step"], found["progress"]) == ("write_image", 0.25)
    assert "hidden" not in json.dumps(found)


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
