"""A machine is stopped, started and restarted by who has its instance, by REST as by EC2's API."""

from __future__ import annotations

import pytest

from provisioner.api.node_orders import MOST_PENDING
from provisioner.core.model import Node, NodeRequest, RequestState
from provisioner.core.states import InstanceState, PowerState, ProvisionState
from tests.unit.api.conftest import Api, User
from tests.unit.api.ec2.conftest import Ec2, later
from tests.unit.records import instance, node

ID = "01234567-89ab-4def-8123-000000000000"
SAID = "set power off on BMC 10.78.0.101 of node n1: no answer in 10 s"


@pytest.fixture
def member(api: Api) -> User:
    return api.user_of("default", "member")


def runs(api: Api, power: PowerState = PowerState.ON, tenant: str = "default") -> None:
    carried = node(state=ProvisionState.ACTIVE, power_state=power, instance_id=ID)
    one = instance(id=ID, name="web", state=InstanceState.ACTIVE, node_id=carried.id, tenant=tenant)
    api.transact(lambda tx: tx.insert(carried, one))


def pending(api: Api) -> list[str]:
    found = api.transact(lambda tx: tx.find(NodeRequest, where={"state": RequestState.PENDING}))
    return [one.verb for one in found]


def ends(api: Api, state: RequestState, power: PowerState) -> None:
    """The pending orders, by their node's owner."""
    for one in api.transact(lambda tx: tx.find(NodeRequest, where={"state": RequestState.PENDING})):
        answered = {"state": state, "answer": SAID if state is RequestState.FAILED else f"power is {power}"}
        api.transact(lambda tx, one=one, told=answered: tx.update(NodeRequest, one.id, told))
        api.transact(lambda tx, one=one: tx.update(Node, one.node_id, {"power_state": power}))


@pytest.mark.parametrize(
    ("wish", "before", "verb", "meanwhile", "after"),
    [
        ({"change": "stop"}, PowerState.ON, "power:shutdown", "stopping", PowerState.OFF),
        ({"change": "stop", "force": True}, PowerState.ON, "power:off", "stopping", PowerState.OFF),
        ({"change": "start"}, PowerState.OFF, "power:on", "starting", PowerState.ON),
        ({"change": "reboot"}, PowerState.ON, "power:reset", "running", PowerState.ON),
    ],
)
def test_a_member_switches_the_machine_and_sees_it_by_both_doors(
    api: Api,
    ec2: Ec2,
    member: User,
    wish: dict[str, object],
    before: PowerState,
    verb: str,
    meanwhile: str,
    after: PowerState,
) -> None:
    runs(api, before)
    asked = member.call("POST", "/v1/instances/web/power", wish)
    assert asked.status_code == 202
    assert (asked.json()["state"], pending(api)) == ("pending", [verb])
    assert member.call("GET", "/v1/instances/web").json()["power"] == meanwhile
    told = ec2.read("DescribeInstances")["Reservations"][0]["Instances"][0]
    assert told["State"]["Name"] == {"starting": "pending"}.get(meanwhile, meanwhile)
    ends(api, RequestState.DONE, after)
    found = member.call("GET", f"/v1/instances/web/requests/{asked.json()['id']}").json()
    assert (found["state"], found["answer"]) == ("done", "it was done")
    listed = member.call("GET", "/v1/instances").json()["items"]
    assert [one["power"] for one in listed] == ["stopped" if after is PowerState.OFF else "running"]


def test_what_a_power_device_said_is_told_to_operators_alone(api: Api, member: User) -> None:
    runs(api)
    id = member.call("POST", "/v1/instances/web/power", {"change": "stop"}).json()["id"]
    ends(api, RequestState.FAILED, PowerState.ON)
    path = f"/v1/instances/web/requests/{id}"
    assert member.call("GET", path).json()["answer"] == "it failed; operators are told why"
    assert api.user_of("default", "operator").call("GET", path).json()["answer"] == SAID


@pytest.mark.parametrize(
    ("power", "change", "told"),
    [(PowerState.OFF, "reboot", "it is stopped"), (PowerState.ON, "hibernate", "")],
)
def test_what_cannot_be_is_refused(api: Api, member: User, power: PowerState, change: str, told: str) -> None:
    runs(api, power)
    refused = member.call("POST", "/v1/instances/web/power", {"change": change})
    assert refused.status_code in (409, 422)
    assert told in refused.text
    assert not pending(api)


def test_only_an_active_instance_is_switched(api: Api, member: User) -> None:
    runs(api)
    member.call("DELETE", "/v1/instances/web").raise_for_status()
    refused = member.call("POST", "/v1/instances/web/power", {"change": "stop"})
    assert (refused.status_code, pending(api)) == (409, [])
    assert "it is deleting" in refused.text
    assert member.call("GET", "/v1/instances/web").json()["power"] is None


def test_who_reads_switches_nothing_and_another_tenant_finds_nothing(api: Api, member: User) -> None:
    runs(api)
    reader = api.user_of("default", "reader")
    assert reader.call("POST", "/v1/instances/web/power", {"change": "stop"}).status_code == 403
    other = api.user_of("other", "member")
    assert other.call("POST", "/v1/instances/web/power", {"change": "stop"}).status_code == 404
    assert not pending(api)
    id = member.call("POST", "/v1/instances/web/power", {"change": "stop"}).json()["id"]
    assert other.call("GET", f"/v1/instances/{ID}/requests/{id}").status_code == 404
    assert reader.call("GET", f"/v1/instances/web/requests/{id}").status_code == 200


def test_orders_that_wait_are_few_whoever_gives_them_by_turns(api: Api, ec2: Ec2, member: User) -> None:
    """A BMC takes seconds for each, and all hosts look through what waits."""
    runs(api)
    answers = []
    for number in range(20):
        later(api, 1)
        change = "start" if number % 2 else "stop"
        answers.append(member.call("POST", "/v1/instances/web/power", {"change": change, "force": True}))
    assert len(pending(api)) == MOST_PENDING
    # One that asks for what the last one does is that one.
    assert {one.status_code for one in answers[MOST_PENDING:]} == {202, 409}
    refused = next(one for one in answers if one.status_code == 409)
    assert f"{MOST_PENDING} orders of its power wait already. Ask again" in refused.json()["title"]
    ends(api, RequestState.DONE, PowerState.ON)
    assert member.call("POST", "/v1/instances/web/power", {"change": "stop"}).status_code == 202


def test_a_machine_that_switched_itself_off_unseen_is_started(api: Api, ec2: Ec2) -> None:
    runs(api, PowerState.ON)
    ec2.read("StartInstances", **{"InstanceId.1": "i-0123456789ab4def8"})
    assert pending(api) == ["power:on"]
