"""How requests for power and maintenance end is judged: by provisioners that are broken on purpose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bmsim.faults.catalogue import CATALOGUE
from provisioner.api import node_orders
from provisioner.compute.operator_requests import OperatorRequests
from provisioner.core.errors import Conflict
from provisioner.core.model import Node, NodeRequest
from provisioner.core.states import PowerState
from scenarios.runner.addresses import numbered_node
from scenarios.runner.story import AtTime, Maintenance, Moment, OnEvent, OnTold, Power, Story, Strike
from tests.model.mutants import DELETE, DEPLOY, broken_promises, story

ACTIVE = OnTold("web", "active")
VERBS = ("on", "off", "cycle", "reset", "soft")


def switched(verb: str, when: Moment = ACTIVE, by: str = "ipmi") -> Story:
    told = story(DEPLOY, Power(node="n1", verb=verb, when=when))
    return replace(told, nodes=(numbered_node(1, "n1", power=by),))


def refuse(*asked: Any, **how: Any) -> Any:
    raise Conflict("do it", answer="not today")


@pytest.mark.parametrize("by", ["ipmi", "pdu", "two-pdus"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_sound_provisioner_switches_as_it_is_asked(verb: str, by: str) -> None:
    assert broken_promises(switched(verb, by=by)) == set()


@pytest.mark.parametrize("verb", VERBS)
def test_a_request_for_power_that_always_fails_is_caught(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: OperatorRequests, request: NodeRequest, node: Node) -> PowerState:
        raise Conflict("switch the power", answer="not today")

    monkeypatch.setattr(OperatorRequests, "_carry_out", fail)
    assert broken_promises(switched(verb)) == {"expectation"}


@pytest.mark.parametrize("by", ["ipmi", "pdu"])
@pytest.mark.parametrize(("verb", "when"), [("off", ACTIVE), ("cycle", ACTIVE), ("on", AtTime(0))])
def test_a_machine_that_is_not_switched_as_the_client_is_told_is_caught(
    verb: str, when: Moment, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = replace(switched(verb, when, by), requests=(Power(node="n1", verb=verb, when=when),))
    if when is ACTIVE:
        told = replace(told, requests=(DEPLOY, *told.requests))
    assert broken_promises(told) == set()

    async def believe(self: OperatorRequests, request: NodeRequest, node: Node) -> PowerState:
        return PowerState.ON

    monkeypatch.setattr(OperatorRequests, "_carry_out", believe)
    assert broken_promises(told) == {"expectation"}


@pytest.mark.parametrize("by", ["ipmi", "pdu"])
@pytest.mark.parametrize(
    ("asked", "done"),
    [
        *(("on", done) for done in ("off", "cycle", "reset")),
        *(("cycle", "off"), ("reset", "off"), ("off", "cycle"), ("soft", "off")),
    ],
)
def test_another_act_than_was_asked_for_is_caught(
    asked: str, done: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out = OperatorRequests._carry_out

    async def act(self: OperatorRequests, request: NodeRequest, node: Node) -> PowerState:
        return await carry_out(self, replace(request, verb=f"power:{done}"), node)

    told = switched(asked, replace(ACTIVE, after_s=30.0), by)
    monkeypatch.setattr(OperatorRequests, "_carry_out", act)
    assert broken_promises(told) & {"expectation", "active_node_untouched"}


def test_a_soft_off_that_no_bmc_heard_of_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def believe(self: OperatorRequests, request: NodeRequest, node: Node) -> PowerState:
        return PowerState.OFF

    monkeypatch.setattr(OperatorRequests, "_carry_out", believe)
    assert broken_promises(switched("soft")) == {"expectation"}


def test_a_request_for_power_that_is_refused_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_orders, "ask", refuse)
    assert broken_promises(switched("cycle")) == {"expectation"}


@pytest.mark.parametrize("on", [True, False])
def test_maintenance_that_is_refused_is_caught(on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told = story(Maintenance(node="n1", on=on))
    assert broken_promises(told) == set()
    monkeypatch.setattr(node_orders, "set_maintenance", refuse)
    assert broken_promises(told) == {"expectation"}


WORKS = OnEvent("step", "step.started", "n1", detail={"step": "write_image"})
SILENT = Strike(
    fault="bmc.silent",
    node="n1",
    parameters=CATALOGUE["bmc.silent"].completed({}),
    when=ACTIVE,
    heal_after_s=400.0,
)


@pytest.mark.parametrize(
    "told",
    [
        switched("off", WORKS),
        replace(switched("off", OnTold("web", "active", after_s=1.0)), strikes=(SILENT,)),
        replace(switched("cycle"), requests=(Power(node="n1", verb="cycle"),)),
        replace(switched("off"), requests=(DEPLOY, DELETE, Power(node="n1", verb="off", when=ACTIVE))),
    ],
    ids=["it has work", "its BMC is silent", "it is off", "its instance leaves"],
)
def test_a_request_that_can_not_be_done_may_fail(told: Story) -> None:
    assert broken_promises(told) == set()


def several(*verbs: str, every_s: float, by: str = "ipmi") -> Story:
    orders = (
        Power(node="n1", verb=verb, when=replace(ACTIVE, after_s=1.0 + number * every_s))
        for number, verb in enumerate(verbs)
    )
    return replace(story(DEPLOY, *orders), nodes=(numbered_node(1, "n1", power=by),))


@pytest.mark.parametrize("every_s", [0.0, 0.01, 0.3, 5.0])
@pytest.mark.parametrize(
    "verbs",
    [
        ("soft", "soft"),  # which is the same one while it is done, and finds the machine off later
        ("reset", "reset"),
        ("cycle", "off", "on"),
        ("off", "on", "off", "on", "cycle", "on"),  # of which are too many when they come at once
    ],
)
def test_requests_that_come_soon_after_one_another_end_as_they_may(
    verbs: tuple[str, ...], every_s: float
) -> None:
    assert broken_promises(several(*verbs, every_s=every_s)) == set()


def test_one_too_many_is_refused_and_none_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_orders, "MOST_PENDING", 2)
    assert broken_promises(several("off", "on", "cycle", every_s=0.0)) == {"expectation"}


def test_a_fault_that_a_device_has_had_since_before_excuses_how_a_request_ends() -> None:
    stuck = replace(
        SILENT,
        fault="pdu.outlet_stuck",
        parameters=CATALOGUE["pdu.outlet_stuck"].completed({"tells_command": True}),
    )
    told = several("off", "off", every_s=60.0, by="pdu")
    assert broken_promises(replace(told, strikes=(stuck,))) == set()
