"""A deploy that leaves a node for another one ends well all the same: whether it had to leave is judged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.compute.edges import DeployPolicy
from provisioner.core.errors import PermanentError
from provisioner.core.outcome import Fail, Outcome
from scenarios.runner.model import provisioner_process
from scenarios.runner.play import play_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import Deploy, OnEvent, Story, Strike
from scenarios.runner.verdict import Verdict
from tests.model.mutants import give_up_at_once, replace_steps, story, strike


def anywhere(*strikes: Strike) -> Story:
    """The first of two nodes is at hand; the other one is there for whoever leaves it."""
    told = story(Deploy(instance="web", image="tiny"), nodes=2)
    return replace(told, strikes=strikes, safety_s=7200.0)


def broken(told: Story) -> list[str]:
    """What was broken of a story in which the instance left n1, and is active on n2."""
    played = play_story(told, Fidelity.MODEL, 1)
    assert played.result.verdict is not Verdict.INFRA, played.result.trouble
    moved = [event.node for event in played.trace if (event.source, event.name) == ("instance", "moved")]
    states = [
        (event.node, event.detail["state"])
        for event in played.trace
        if (event.source, event.name) == ("client", "instance")
    ]
    assert (moved, states[-1]) == (["n1"], ("n2", "active"))
    return [f"{breach.promise}: {breach.what}" for breach in played.result.breaches]


SAID = "expectation: instance web left n1 for another node ({}), and nothing had befallen n1 that explains it"


@pytest.mark.parametrize("fault", ["node.dead_nic", "disk.write_error", "disk.missing", "bmc.silent"])
def test_whoever_leaves_a_node_that_is_at_fault_breaks_nothing(fault: str) -> None:
    assert broken(anywhere(strike(fault))) == []


WRITING = OnEvent("step", "step.started", "n1", detail={"step": "write_image"})


@pytest.mark.parametrize(
    ("passing", "code"),
    [
        (strike("node.hangs", at="kernel", count=1), "agent-never-reported"),
        (strike("disk.write_error", heal_after_s=30.0), "write-failed"),
        (strike("bmc.silent", heal_after_s=260.0), "device-unreachable"),
    ],
    ids=lambda given: given.fault if isinstance(given, Strike) else "",
)
def test_leaving_at_the_first_trouble_is_caught_though_the_deploy_ends_well(
    passing: Strike, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up_at_once(monkeypatch)
    (said,) = broken(anywhere(passing))
    assert said.startswith(SAID.format(code))


def test_leaving_after_one_start_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioner_process, "DeployPolicy", lambda: DeployPolicy(boot_attempts=1))
    (said,) = broken(anywhere(strike("node.dead_nic")))
    assert said.startswith(SAID.format("agent-never-reported"))


@pytest.mark.parametrize(
    "elsewhere",
    [
        strike("disk.missing", "n2", when=WRITING),
        strike("bmc.busy", count=1),
        strike("net.delay", delay_s=0.01),
    ],
    ids=["another node's", "another kind", "another kind, that lasts"],
)
def test_leaving_a_node_that_is_well_is_caught(elsewhere: Strike, monkeypatch: pytest.MonkeyPatch) -> None:
    none = PermanentError("find the disk", answer="none is there")
    none.code = "disk-missing"
    export = worker.STEPS["export_disk"]

    async def not_on_n1(ctx: StepContext) -> Outcome:
        return Fail(none) if ctx.node.name == "n1" else await export(ctx)

    replace_steps(monkeypatch, {"export_disk": not_on_n1})
    (said,) = broken(anywhere(elsewhere))
    assert said.startswith(SAID.format("disk-missing"))
