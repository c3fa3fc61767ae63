"""What breaks in the lab itself, or a story that proves nothing, is told as such."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from scenarios.runner.client import PREPARED_S
from scenarios.runner.model.contents import ImageServer
from scenarios.runner.play import play_story
from scenarios.runner.random_story import rack, random_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import ByChance, Deploy, Moment, OnEvent, Power, Story, Strike
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
