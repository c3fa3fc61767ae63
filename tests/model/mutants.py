"""Stories for a provisioner that is broken on purpose, and what comes of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from bmsim.faults.catalogue import CATALOGUE
from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.core.outcome import Outcome, Retry
from scenarios.runner.play import play_story
from scenarios.runner.random_story import FAMILIES, rack
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import AtTime, Delete, Deploy, Moment, OnTold, Story, Strike
from scenarios.runner.verdict import Breach, Verdict

Step = Callable[[StepContext], Awaitable[Outcome]]


def story(*requests: Any, nodes: int = 1, hosts: int = 1, images: tuple[str, ...] = ("tiny",)) -> Story:
    compute, machines = rack(nodes, hosts)
    return Story(
        name="mutant",
        hosts=compute,
        nodes=machines,
        requests=requests or (DEPLOY, DELETE),
        images=images,
        safety_s=900.0,
    )


DEPLOY = Deploy(instance="web", image="tiny", node="n1")
DELETE = Delete(instance="web", when=OnTold("web", "active"))


def breaches(played: Story) -> tuple[Breach, ...]:
    result = play_story(played, Fidelity.MODEL, 1).result
    assert result.verdict is not Verdict.INFRA, result.trouble
    return result.breaches


def broken_promises(played: Story) -> set[str]:
    return {breach.promise for breach in breaches(played)}


def replace_steps(monkeypatch: pytest.MonkeyPatch, steps: Mapping[str, Step]) -> None:
    monkeypatch.setattr(worker, "STEPS", {**worker.STEPS, **steps})


def strike(
    fault: str,
    node: str = "n1",
    when: Moment = AtTime(),
    *,
    heal_after_s: float | None = None,
    **given: object,
) -> Strike:
    """One that need not strike for the story to count."""
    parameters = CATALOGUE[fault].completed(given)
    return Strike(
        fault=fault, node=node, parameters=parameters, when=when, heal_after_s=heal_after_s, may_miss=True
    )


def give_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried again."""

    async def give_up(self: worker.Worker, outcome: Retry) -> bool:
        await self._fail(outcome.cause)
        return True

    monkeypatch.setattr(worker.Worker, "_retry", give_up)


def board_story() -> Story:
    """Of a board that has no agent: its root is served to it, and its monitor gives it commands."""
    family = next(one for one in FAMILIES if one.arch == "tilepro64")
    (image,) = family.images
    deploy = replace(DEPLOY, image=image)
    return replace(story(deploy, DELETE, images=(image,)), nodes=(family.node(1, "pdu"),))
