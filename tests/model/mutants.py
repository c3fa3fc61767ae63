"""Stories for a provisioner that is broken on purpose, and what comes of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.core.outcome import Outcome
from scenarios.runner.play import play_story
from scenarios.runner.random_story import FAMILIES, rack
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import Delete, Deploy, OnTold, Story
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


def board_story() -> Story:
    """Of a board that has no agent: its root is served to it, and its monitor gives it commands."""
    family = next(one for one in FAMILIES if one.arch == "tilepro64")
    (image,) = family.images
    deploy = replace(DEPLOY, image=image)
    return replace(story(deploy, DELETE, images=(image,)), nodes=(family.node(1, "pdu"),))
