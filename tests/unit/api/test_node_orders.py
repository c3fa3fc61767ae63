"""What is ordered of a node: power, a check, a cleaning; and how far it is."""

from __future__ import annotations

import json

import pytest

from provisioner.api.housekeeping import REQUEST_KEPT_S, forget_old_requests
from provisioner.core.model import Failure, Node, NodeRequest, Work
from provisioner.core.states import ProvisionState
from tests.unit.api.conftest import Api, node_entry, put_in_state


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
