"""What a node costs doesn't depend on how many there are, as far as calls tell: time would depend on the
machine."""

from __future__ import annotations

import cProfile
import gc
import pstats
from collections.abc import Mapping
from pathlib import Path

import pytest

from scenarios.runner import virtual_loop
from scenarios.runner.play import play_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.verdict import Verdict
from tests.benchmarks.model_speed import large_story

FEW, MANY = 8, 32
ROOT = Path(__file__).parents[2]
OURS = tuple(str(ROOT / folder) for folder in ("provisioner", "bmsim", "scenarios"))
GROWTH, CALLS = 1.5, 3.0
"""A function may be called so much oftener for each node of many, or so many times more."""
LEFT = 20
"""So many objects that refer to themselves may be left by a node's deploy: by each question, 50 were."""

Function = tuple[str, int, str]


def calls_per_node(nodes: int) -> Mapping[Function, float]:
    profile = cProfile.Profile()
    result = profile.runcall(play_story, large_story(nodes), Fidelity.MODEL, 1).result
    assert result.verdict is Verdict.PASS, result.trouble or result.breaches
    stats: Mapping[Function, tuple[int, int, float, float, object]] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    return {function: told[1] / nodes for function, told in stats.items() if function[0].startswith(OURS)}


@pytest.mark.exhaustive
def test_no_function_is_called_oftener_for_each_node_of_many_than_of_few() -> None:
    few, many = calls_per_node(FEW), calls_per_node(MANY)
    grown = {
        f"{name} ({file}:{line})": f"{few.get((file, line, name), 0.0):.1f} → {calls:.1f}"
        for (file, line, name), calls in many.items()
        if calls > GROWTH * few.get((file, line, name), 0.0) + CALLS
    }
    assert grown == {}


def test_next_to_nothing_is_left_to_the_garbage_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would go through all that a large story keeps, again and again."""
    monkeypatch.setattr(virtual_loop, "CHECK_EVERY_STEPS", 500)
    monkeypatch.setattr(virtual_loop, "COLLECT_EVERY_STEPS", 500)
    collect, found = gc.collect, list[int]()

    def counted(generation: int = 2) -> int:
        left = collect(generation)
        if generation == 1:  # while the story is played, not when it has ended
            found.append(left)
        return left

    monkeypatch.setattr(gc, "collect", counted)
    result = play_story(large_story(FEW), Fidelity.MODEL, 1).result
    assert result.verdict is Verdict.PASS
    assert len(found) > 3
    assert sum(found) < FEW * LEFT
