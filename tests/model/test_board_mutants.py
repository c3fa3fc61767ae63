"""A provisioner that takes any answer of a board for its instance's is caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.compute.context import StepContext
from provisioner.compute.steps import board
from scenarios.runner.compile import story_of
from scenarios.runner.load import read
from scenarios.runner.play import play_story
from scenarios.runner.stage import Fidelity

STORY = Path(__file__).parents[2] / "scenarios/boards/still-runs-what-it-ran.yaml"


def test_what_an_instance_before_left_running_is_not_called_active(monkeypatch: pytest.MonkeyPatch) -> None:
    async def any_root(ctx: StepContext) -> str:
        return ""

    monkeypatch.setattr(board, "_root_not_told", any_root)
    told = story_of(read(STORY).scenario, Fidelity.MODEL, 0)
    broken = play_story(told, Fidelity.MODEL, 0).result.breaches
    assert "seen_running" in {breach.promise for breach in broken}
