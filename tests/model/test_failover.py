"""A compute host is killed, frozen or cut off in every step of every path; whoever lives finishes it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from scenarios.runner.play import play_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import OnEvent
from scenarios.runner.verdict import Verdict
from tests.failover_stories import FAULTS, LOSES_ITS_NODES, STEPS, owners, story


@pytest.mark.parametrize("befalls", FAULTS)
@pytest.mark.parametrize(("plan", "step"), STEPS, ids=lambda value: value)
def test_a_host_may_be_lost_in_any_step(plan: str, step: str, befalls: str) -> None:
    played = play_story(story(plan, step, befalls), Fidelity.MODEL, 1)
    assert played.result.verdict is Verdict.PASS, (played.result.breaches, played.result.trouble)
    if (plan, step, befalls) != (
        "clean",
        "withdraw_boot",
        "cut off from the nodes",
    ):  # which needs none of them
        struck = [event for event in played.trace if event.source == "fault" and event.name == "struck"]
        assert struck, "the fault did nothing: the story proves nothing"
    if befalls in LOSES_ITS_NODES:
        assert len(set(owners(played.trace))) == 2, "nobody took over"


def test_a_wall_clock_that_jumps_changes_no_owner() -> None:
    one = story("deploy-iscsi", "write_image", "killed")
    for by_s, (_, step) in product((86400.0, -86400.0), STEPS[:14:4]):
        jump = replace(
            one.strikes[0],
            fault="host.clock_jump",
            parameters={"by_s": by_s},
            when=OnEvent("step", "step.started", "n1", detail={"step": step}),
        )
        played = play_story(replace(one, strikes=(jump,)), Fidelity.MODEL, 1)
        assert played.result.verdict is Verdict.PASS, played.result.breaches
        assert len(owners(played.trace)) == 1
