"""What breaks in the lab itself, or a story that proves nothing, is told as such."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.core.outcome import Next, Outcome
from provisioner.core.plan import PLANS
from scenarios.runner.client import PREPARED_S
from scenarios.runner.model.contents import ImageServer
from scenarios.runner.model.striking import Striking
from scenarios.runner.play import play_story
from scenarios.runner.random_story import rack, random_story
from scenarios.runner.stage import Fidelity, LabTrouble, Order
from scenarios.runner.story import (
    AtTime,
    ByChance,
    Delete,
    Deploy,
    Expected,
    Moment,
    OnEvent,
    OnTold,
    Power,
    Story,
    Strike,
)
from scenarios.runner.verdict import Verdict


def test_an_image_that_never_comes_ends_the_story_and_says_nothing_of_the_provisioner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fetch(self: ImageServer, url: str, **how: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(ImageServer, "fetch", fetch)
    result = play_story(random_story(3, nodes=1), Fidelity.MODEL, 3).result
    assert result.verdict is Verdict.INFRA
    assert f"is saving still, {PREPARED_S:.0f} s after" in result.trouble


WIPES = OnEvent("step", "step.started", "n1", detail={"step": "wipe"})
"""Never comes: nothing is deleted, so that nothing is cleaned."""


def cycled(when: Moment) -> Story:
    """A node is deployed, and power-cycled at a moment."""
    hosts, nodes = rack(1)
    return Story(
        name="cycled",
        hosts=hosts,
        nodes=nodes,
        requests=(Power(node="n1", verb="cycle", when=when), Deploy(instance="web", image="tiny", node="n1")),
        images=("tiny",),
        safety_s=600.0,
    )


def test_a_story_proves_nothing_whose_request_was_never_asked_for() -> None:
    result = play_story(cycled(WIPES), Fidelity.MODEL, 1).result
    assert result.verdict is Verdict.INFRA
    assert result.trouble == (
        "power n1 was never asked for, its moment never came: at step step.started of n1, step wipe: "
        "the story proves nothing"
    )


@pytest.mark.parametrize(
    "told",
    [
        replace(cycled(WIPES), struck_may_fail=True),
        cycled(ByChance(1e-9, "step", "step.started")),
        cycled(replace(WIPES, detail={"step": "instance_running"})),
    ],
    ids=["made up", "left to chance", "its moment came"],
)
def test_a_request_may_have_waited_in_vain_where_the_story_says_so(told: Story) -> None:
    result = play_story(told, Fidelity.MODEL, 1).result
    assert (result.verdict, result.trouble) == (Verdict.PASS, "")


def test_a_broken_promise_is_told_before_what_was_never_asked_for_then() -> None:
    """Without its disk the node fails: that is why the step never comes that the request waits for."""
    active = replace(WIPES, detail={"step": "instance_running"})
    broken = replace(cycled(active), strikes=(Strike(fault="disk.missing", node="n1"),))
    result = play_story(broken, Fidelity.MODEL, 1).result
    assert result.verdict is Verdict.FAIL
    assert {breach.promise for breach in result.breaches} == {"expectation"}


SLOW = Strike(fault="disk.slow", node="n1", when=WIPES)
"""Never strikes, where its moment never comes."""


def unstruck(*expected: Expected) -> Story:
    """A node is deployed; a fault was to strike it, and never does."""
    told = cycled(AtTime(0))
    (deploy,) = (one for one in told.requests if isinstance(one, Deploy))
    return replace(
        told,
        requests=(deploy,),
        strikes=(SLOW,),
        expected=(Expected(struck="disk.slow", node="n1"), *expected),
    )


NEVER_CAME = "never changed anything, for its moment never came"
MEND = "strike where the fault is met, or say may_miss: true"
NEVER_STRUCK = f"the fault disk.slow at n1 {NEVER_CAME}: the story proves nothing: {MEND}"


async def believe(ctx: StepContext) -> Outcome:
    return Next("it will be so")


def test_what_a_story_expects_of_a_fault_that_never_struck_is_no_promise() -> None:
    result = play_story(unstruck(Expected(instance="web", outcome="error")), Fidelity.MODEL, 1).result
    assert (result.verdict, result.trouble, result.breaches) == (Verdict.INFRA, NEVER_STRUCK, ())


def test_a_fault_that_never_struck_hides_no_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "STEPS", {**worker.STEPS, "instance_running": believe})
    told = unstruck(Expected(instance="web", outcome="error"))
    result = play_story(told, Fidelity.MODEL, 1).result
    assert (result.verdict, result.trouble) == (Verdict.FAIL, NEVER_STRUCK)
    assert {breach.promise for breach in result.breaches} == {"seen_running"}


def test_a_fault_that_never_struck_hides_no_deploy_that_ends_in_error() -> None:
    told = unstruck()
    result = play_story(
        replace(told, strikes=(*told.strikes, Strike(fault="disk.missing", node="n1"))), Fidelity.MODEL, 1
    ).result
    assert (result.verdict, result.trouble) == (Verdict.FAIL, NEVER_STRUCK)
    assert {breach.promise for breach in result.breaches} == {"expectation"}


@pytest.mark.parametrize("outcome", ["active", "deleted"])
def test_a_fault_that_never_struck_hides_no_deploy_that_was_expected_to_end_well(outcome: str) -> None:
    told = unstruck(Expected(instance="web", outcome=outcome))
    missing = (*told.strikes, Strike(fault="disk.missing", node="n1"))
    result = play_story(replace(told, strikes=missing), Fidelity.MODEL, 1).result
    assert (result.verdict, result.trouble) == (Verdict.FAIL, NEVER_STRUCK)
    assert {breach.promise for breach in result.breaches} == {"expectation"}


def offered_unwiped(monkeypatch: pytest.MonkeyPatch, breaks: Moment) -> Story:
    """The provisioner offers its node with what its tenant wrote; the lab breaks at a moment."""
    clean = PLANS["clean"]
    steps = tuple(step for step in clean.steps if step.name != "wipe")
    monkeypatch.setitem(PLANS, "clean", replace(clean, steps=steps))

    def inject(self: Striking, order: Order) -> None:
        raise LabTrouble("a disk of the lab is full")

    monkeypatch.setattr(Striking, "inject", inject)
    told = cycled(AtTime(0))
    deploy = Deploy(instance="web", image="tiny", node="n1")
    delete = Delete(instance="web", when=OnTold("web", "active"))
    again = Deploy(instance="next", image="tiny", node="n1", when=OnTold("web", "deleted"))
    return replace(
        told, requests=(deploy, delete, again), strikes=(Strike(fault="disk.slow", node="n1", when=breaks),)
    )


def test_what_devices_showed_before_the_lab_broke_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    breaks = OnEvent("step", "step.started", "n1", nth=2, detail={"step": "write_image"})
    result = play_story(offered_unwiped(monkeypatch, breaks), Fidelity.MODEL, 1).result
    assert (result.verdict, result.trouble) == (Verdict.FAIL, "a disk of the lab is full")
    assert {breach.promise for breach in result.breaches} == {"wiped_before_offered"}


def test_what_is_seen_after_the_lab_broke_may_come_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    breaks = OnTold("web", "active")
    result = play_story(offered_unwiped(monkeypatch, breaks), Fidelity.MODEL, 1).result
    assert (result.verdict, result.trouble) == (Verdict.INFRA, "a disk of the lab is full")
    assert result.breaches == ()
