"""A compute host is killed, frozen or cut off in every step of every path; whoever lives finishes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from scenarios.runner.play import play_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import OnEvent
from scenarios.runner.verdict import Verdict
from tests.failover_stories import FAULTS, LOSES_ITS_NODES, STEPS, owners, story

SEEDS = range(1, 17)
"""By chance a step that takes no time is over before its host is lost: one of these loses it in the step."""

NEEDS_NO_NODE = ("clean", "withdraw_boot", "cut off from the nodes")


def cells() -> Iterator[object]:
    """Each step and each fault at least once; the others stand back when little time is given."""
    for number, (plan, step) in enumerate(STEPS):
        for place, befalls in enumerate(FAULTS):
            stands_back = (number + place) % len(FAULTS)
            yield pytest.param(plan, step, befalls, marks=pytest.mark.exhaustive if stands_back else ())


@pytest.mark.parametrize(("plan", "step", "befalls"), list(cells()))
def test_a_host_may_be_lost_in_any_step(plan: str, step: str, befalls: str) -> None:
    for seed in SEEDS:
        played = play_story(story(plan, step, befalls), Fidelity.MODEL, seed)
        assert played.result.verdict is Verdict.PASS, (seed, played.result.breaches, played.result.trouble)
        if (plan, step, befalls) == NEEDS_NO_NODE:
            return
        assert any(event.source == "fault" and event.name == "struck" for event in played.trace), (
            "the fault did nothing: the story proves nothing"
        )
        if befalls not in LOSES_ITS_NODES or len(set(owners(played.trace))) == 2:
            return
        assert (plan, step) == ("clean", "withdraw_boot"), "nobody took over"
    pytest.fail("nobody took over, whatever the seed")


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
