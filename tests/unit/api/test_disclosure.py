"""Whoever runs no nodes isn't told the addresses of their BMCs, by no door."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.api.disclosure import OF_A_POWER_DEVICE, OF_THE_DEPLOY, event_for, instance_for
from provisioner.core.failures import FAILURES
from provisioner.core.model import Failure, Instance, TimelineEvent
from provisioner.core.plan import PLANS
from provisioner.core.roles import Principal, Role
from provisioner.core.states import InstanceState, ProvisionState
from tests.unit.api.conftest import Api
from tests.unit.compute.fake_world import BMC, FakeWorld, play
from tests.unit.records import instance

MEMBER = Principal(user="ann", tenant="default", role=Role.MEMBER, credential="c")
OPERATOR = replace(MEMBER, role=Role.OPERATOR)

NAMES_IT = f"set power on on BMC {BMC} of node n1: no answer in 10 s. Look at {BMC}"
FAILURE = Failure(
    code="device-unreachable",
    message=NAMES_IT,
    step="power_on",
    last_proven=f"power_off: BMC {BMC} of node n1 confirmed that the power is off",
    likely_cause=f"Look at {BMC}",
)


def test_of_real_deploys_a_member_is_told_nothing_that_names_a_power_device(tmp_path: Path) -> None:
    """One whose first node's BMC refuses, and the cleaning after it."""

    async def story(world: FakeWorld) -> None:
        world.broken.add("n1")
        await world.enrol(2, memory_mib=2048)
        await world.ask()

        async def active() -> bool:
            found = await world.instance()
            if found.failure is not None:
                failed.append(found)
            return found.state is InstanceState.ACTIVE

        failed: list[Instance] = []
        await world.until("instance active", active)
        await world.delete()
        await world.becomes(ProvisionState.AVAILABLE, 2)
        assert failed and BMC in str(failed[0])
        told = [instance_for(MEMBER, one) for one in failed]
        assert BMC not in str(told)
        assert {one.failure.code for one in told if one.failure} == {"device-refused"}
        events = [one for one in await world.events() if one.instance_id]
        assert {(one.name, one.step) for one in events if BMC in str(one)} == {
            ("step.done", "power_on"),
            ("step.failed", "power_on"),
            ("step.done", "power_off"),
            ("step.done", "power_off_clean"),
            ("node.out_of_service", ""),
            ("instance.moved", ""),
        }
        assert [event_for(OPERATOR, one) for one in events] == events
        seen = [event_for(MEMBER, one) for one in events]
        assert BMC not in str(seen)
        assert [(one.id, one.name, one.step) for one in seen] == [
            (one.id, one.name, one.step) for one in events
        ]
        texts = {(one.name, one.step): one.text for one in seen}
        assert texts["step.failed", "power_on"] == FAILURES["device-refused"].happened
        assert "phone" in texts["step.done", "instance_running"]
        assert "digest" in texts["step.done", "verify_image"]

    play(tmp_path, story)


def test_each_of_the_lists_knows_what_it_names() -> None:
    assert set(FAILURES) > OF_THE_DEPLOY
    assert {spec.name for plan in PLANS.values() for spec in plan.steps} > OF_A_POWER_DEVICE


@pytest.mark.parametrize("code", [*sorted(set(FAILURES) - OF_THE_DEPLOY), "of-tomorrow"])
def test_a_failure_that_may_name_a_device_is_told_by_its_code(code: str) -> None:
    told = instance_for(MEMBER, instance(failure=replace(FAILURE, code=code))).failure
    assert told is not None
    assert (told.code, told.step, told.last_proven) == (code, "power_on", "power_off")
    assert BMC not in str(told)
    assert told.message
    found = event(code, NAMES_IT)
    assert event_for(MEMBER, found) == replace(found, text=told.message)


@pytest.mark.parametrize("code", sorted(OF_THE_DEPLOY))
def test_a_failure_of_the_deploy_itself_is_told_whole(code: str) -> None:
    failure = Failure(
        code=code, message="9 MiB are too many", last_proven="wipe: 1 disk", likely_cause="size"
    )
    lost = instance(failure=failure)
    assert instance_for(MEMBER, lost) == lost
    assert event_for(MEMBER, event(code, failure.message)) == event(code, failure.message)


def event(code: str, text: str) -> TimelineEvent:
    at = instance().created_at
    return TimelineEvent(
        node_id="node-1",
        instance_id="instance-1",
        at=at,
        source="controller",
        name="step.failed",
        step="power_on",
        text=text,
        detail={"code": code},
    )


@pytest.mark.parametrize(
    "name", ["step.retry", "step.passed_on", "power.found", "operator.reset", "of.tomorrow"]
)
def test_an_event_whose_text_may_name_a_device_is_told_without(name: str) -> None:
    found = replace(event("", NAMES_IT), name=name, detail={"from": BMC})
    assert event_for(MEMBER, found) == replace(found, text="", detail={})
    assert event_for(OPERATOR, found) == found


@pytest.mark.parametrize(
    ("became", "told"), [("done", "it was done"), ("failed", "it failed; operators are")]
)
def test_of_an_order_of_power_a_member_hears_what_became_of_it(became: str, told: str) -> None:
    found = replace(
        event("", NAMES_IT), source="power", name="operator.power:off", detail={"became": became, "by": BMC}
    )
    seen = event_for(MEMBER, found)
    assert seen.text.startswith(told)
    assert BMC not in str(seen)
    assert event_for(OPERATOR, found) == found


ID = "01234567-89ab-4def-8123-000000000000"


def lost(api: Api) -> None:
    """An instance of blue's that waits for a second node, and its timeline."""
    waits = f"node n1 failed: {NAMES_IT}. It is given another"
    one = instance(id=ID, tenant="blue", state=InstanceState.REQUESTED, failure=FAILURE, waiting_for=waits)
    api.transact(lambda tx: tx.insert(one, replace(event(FAILURE.code, NAMES_IT), instance_id=ID)))


@pytest.mark.parametrize("role", ["reader", "member"])
def test_rest_tells_operators_alone_which_device_failed(api: Api, role: str) -> None:
    user, operator = api.user_of("blue", role), api.user_of("green", "operator")
    lost(api)
    for path in ("", f"/{ID}", f"/{ID}/timeline"):
        answer = user.call("GET", f"/v1/instances{path}")
        assert answer.is_success and BMC not in answer.text
        assert FAILURES["device-unreachable"].happened in answer.text
        assert BMC in operator.call("GET", f"/v1/instances{path}").text
    told = user.call("GET", f"/v1/instances/{ID}").json()
    happened = FAILURES["device-unreachable"].happened
    assert told["waiting_for"] == f"node n1 failed: {happened}. It is given another"
    if role == "member":
        deleted = user.call("DELETE", f"/v1/instances/{ID}")
        assert deleted.is_success and BMC not in deleted.text
        assert json.loads(deleted.text)["failure"]["code"] == "device-unreachable"
