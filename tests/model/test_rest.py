"""Every node comes to rest, also one that nobody's request names any more."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.core.errors import LeaseLost, PermanentError
from provisioner.core.outcome import Fail, Outcome
from provisioner.core.states import ProvisionState
from scenarios.runner.play import play_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import AtTime, Deploy, Expected, Strike
from scenarios.runner.verdict import Verdict
from tests.model.mutants import DELETE, DEPLOY, Step, broken_promises, replace_steps, story, strike

MOVES = replace(
    story(Deploy(instance="web", image="tiny"), nodes=2),
    strikes=(Strike(fault="node.dead_nic", node="n1"),),
    safety_s=7200.0,
)
"""Its instance leaves n1 for n2."""


def test_a_story_ends_when_the_node_that_its_instance_left_is_available_again() -> None:
    played = play_story(MOVES, Fidelity.MODEL, 1)
    assert played.result.verdict is Verdict.PASS
    states = [
        event.detail["state"] for event in played.trace if event.source == "node" and event.node == "n1"
    ]
    assert states[-1] == "available"


def test_a_cleaning_that_never_ends_is_caught_though_the_instance_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    withdraw = worker.STEPS["withdraw_instance"]

    async def hang(ctx: StepContext) -> Outcome:
        if ctx.node.name == "n1":
            await asyncio.Event().wait()
        return await withdraw(ctx)

    replace_steps(monkeypatch, {"withdraw_instance": hang})
    assert broken_promises(MOVES) == {"deadline"}


def test_a_node_that_keeps_its_state_when_its_instance_is_gone_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who waits for its cleaning takes it for the next instance's."""
    power_off = worker.STEPS["power_off"]

    async def and_no_more(ctx: StepContext) -> Outcome:
        await power_off(ctx)
        await ctx.ledger.write({"instance_id": None, "work": None, "state": ProvisionState.ACTIVE})
        raise LeaseLost("go on", answer="it is done")

    replace_steps(monkeypatch, {"power_off": and_no_more})
    assert broken_promises(story(DEPLOY, DELETE)) == {"deadline"}


def test_a_node_that_is_found_bad_after_all_has_healed_is_put_back_too() -> None:
    """By the attempt that was under way. Who asks for it by name waits for that."""
    by_name = Deploy(instance="next", image="tiny", node="n1", when=AtTime(10.0))
    told = replace(MOVES, requests=(*MOVES.requests, by_name), safety_s=700.0)
    assert broken_promises(told) == set()


def test_a_node_that_becomes_what_is_expected_later_than_within_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody's request waits for the node that its instance has left, and it is at rest in the end."""
    refused = PermanentError("switch power on", answer="wrong password")
    refused.code = "wrong-credentials"

    def slow(step: Step) -> Step:
        async def first_waits(ctx: StepContext) -> Outcome:
            if ctx.node.name != "n1":
                return await step(ctx)
            await ctx.edges.clock.sleep(4000.0)
            return Fail(refused) if ctx.work.plan.startswith("deploy") else await step(ctx)

        return first_waits

    replace_steps(monkeypatch, {"power_on": slow(worker.STEPS["power_on"])})
    available = Expected(node="n1", state="available")
    busy = strike("bmc.busy", "n1", count=1)  # which is why it may leave
    told = replace(MOVES, strikes=(busy,), safety_s=10.0, expected=(available,))
    assert broken_promises(told) == set()
    within = replace(available, within="clean_deadline")
    assert broken_promises(replace(told, expected=(within,))) == {"expectation"}
