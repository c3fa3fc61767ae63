"""What excuses a deploy that ends in error, where a story says `struck_may_fail`: its node's own trouble."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from bmsim.faults.catalogue import CATALOGUE
from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.core.errors import PermanentError
from provisioner.core.outcome import Fail, Outcome
from scenarios.runner.play import play_story
from scenarios.runner.random_story import rack
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import AtTime, Deploy, Moment, OnEvent, OnTold, Story, Strike
from scenarios.runner.verdict import Verdict
from tests.failover_stories import story as failover


def strike(fault: str, node: str, when: Moment = AtTime()) -> Strike:
    parameters = CATALOGUE[fault].completed({})
    return Strike(fault=fault, node=node, parameters=parameters, when=when, may_miss=True)


def story(*strikes: Strike) -> Story:
    hosts, nodes = rack(2)
    return Story(
        name="excused",
        hosts=hosts,
        nodes=nodes,
        requests=(Deploy(instance="web", image="tiny", node="n1"),),
        strikes=strikes,
        images=("tiny",),
        safety_s=7200.0,
        struck_may_fail=True,
    )


def broken_promises(told: Story) -> set[str]:
    result = play_story(told, Fidelity.MODEL, 1).result
    assert result.verdict is not Verdict.INFRA, result.trouble
    return {breach.promise for breach in result.breaches}


def befallen(befalls: str) -> Story:
    """Something befalls the owner of n1 while the image is written; nothing its node."""
    told = failover("deploy-iscsi", "write_image", befalls, release=False)
    return replace(told, struck_may_fail=True)


def give_up_what_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As others do it: a deploy whose host is lost has failed."""

    def or_fail(step: Callable[[StepContext], Awaitable[Outcome]]) -> Callable[..., Awaitable[Outcome]]:
        async def step_or_fail(ctx: StepContext) -> Outcome:
            if ctx.resumed:
                return Fail(PermanentError("resume the deploy", answer="its compute host was lost"))
            return await step(ctx)

        return step_or_fail

    monkeypatch.setattr(worker, "STEPS", {name: or_fail(step) for name, step in worker.STEPS.items()})


@pytest.mark.parametrize("befalls", ["killed", "frozen", "cut off from both"])
def test_what_befalls_its_host_excuses_no_deploy(befalls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_promises(befallen(befalls)) == set()
    give_up_what_is_resumed(monkeypatch)
    assert broken_promises(befallen(befalls)) == {"expectation"}


@pytest.mark.parametrize("fault", ["net.partition", "disk.write_error", "bmc.silent"])
def test_trouble_of_its_own_excuses_it(fault: str) -> None:
    told = story(strike(fault, "n1"))
    assert broken_promises(told) == set()
    assert broken_promises(replace(told, struck_may_fail=False)) == {"expectation"}


SWITCHED_ON = OnEvent("bmc", "chassis.power.on", "n2")
"""Which never is: nobody asks for n2."""


@pytest.mark.parametrize(
    "missed",
    [
        strike("disk.write_error", "n2"),
        strike("disk.write_error", "n1", SWITCHED_ON),
        strike("node.power_loss", "n1", OnTold("web", "error")),
        strike("disk.read_error", "n1"),
    ],
    ids=["another's", "its moment never came", "after the failure", "nothing was read"],
)
def test_what_never_met_its_node_excuses_nothing(missed: Strike, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(ctx: StepContext) -> Outcome:
        return Fail(PermanentError("write the image", answer="no reason at all"))

    monkeypatch.setattr(worker, "STEPS", {**worker.STEPS, "write_image": fail})
    assert broken_promises(story(missed)) == {"expectation"}
