"""A compute host is killed, frozen or cut off in every step of every path; whoever lives finishes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from bmsim.faults.catalogue import CATALOGUE
from provisioner.core.plan import PLANS
from scenarios.runner.play import play_story
from scenarios.runner.random_story import rack
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import Delete, Deploy, OnEvent, OnTold, Story, Strike
from scenarios.runner.trace import Trace
from scenarios.runner.verdict import Verdict

STEPS = [(plan, spec.name) for plan in ("deploy-iscsi", "clean") for spec in PLANS[plan].steps]

LONGER_THAN_THE_LEASE_S = 30.0

FAULTS: Mapping[str, tuple[str, Mapping[str, Any], float | None]] = {
    "killed": ("host.kill", {}, None),
    "frozen": ("host.stop", {}, LONGER_THAN_THE_LEASE_S),
    "cut off from the store": ("host.partition", {"from": "store"}, LONGER_THAN_THE_LEASE_S),
    "heard by the store, and not answered": (
        "host.partition",
        {"from": "store", "one_way": True},
        LONGER_THAN_THE_LEASE_S,
    ),
    "cut off from the nodes": ("host.partition", {"from": "nodes"}, LONGER_THAN_THE_LEASE_S),
    "cut off from both": ("host.partition", {"from": "both"}, LONGER_THAN_THE_LEASE_S),
    "with a slow store": ("db.slow", {"delay_s": 1.5}, LONGER_THAN_THE_LEASE_S),
    "with a store that goes away": ("db.restart", {"down_s": 20}, None),
}


def story(plan: str, step: str, befalls: str) -> Story:
    """One node is deployed and released, and something befalls its owner in a step of one of the two."""
    fault, given, heal_after_s = FAULTS[befalls]
    hosts, nodes = rack(1, 2)
    strikes = CATALOGUE[fault].strikes
    nth = 2 if plan == "clean" and step in {spec.name for spec in PLANS["deploy-iscsi"].steps} else 1
    return Story(
        name="failover",
        hosts=hosts,
        nodes=nodes,
        requests=(
            Deploy(instance="web", image="tiny", node="n1"),
            Delete(instance="web", when=OnTold("web", "active")),
        ),
        strikes=(
            Strike(
                fault=fault,
                node="n1" if strikes == "host" else "",
                host="owner" if strikes == "host" else "",
                parameters=CATALOGUE[fault].completed(given),
                when=OnEvent("step", "step.started", "n1", nth=nth, detail={"step": step}),
                heal_after_s=heal_after_s,
            ),
        ),
        images=("tiny",),
        safety_s=1800.0,
    )


def owners(trace: Trace) -> list[str]:
    """Of n1, one after the other."""
    told = [event.detail["owner"] for event in trace if event.source == "lease" and event.node == "n1"]
    return [owner for owner in told if owner]


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
    if befalls in ("killed", "frozen", "cut off from the store", "cut off from both"):
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
