"""What is refused as a moment that never comes is held against what does come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scenarios.runner import vocabulary
from scenarios.runner.compile import story_of
from scenarios.runner.load import read, read_text
from scenarios.runner.parts import When
from scenarios.runner.play import play_story
from scenarios.runner.random_story import random_story
from scenarios.runner.record import recorded
from scenarios.runner.report import failure_text
from scenarios.runner.schema import Scenario
from scenarios.runner.sound_moments import SoundMoments
from scenarios.runner.stage import Fidelity
from scenarios.runner.trace import Event, Trace
from scenarios.runner.verdict import Verdict

ROOT = Path(__file__).parents[2] / "scenarios"
FILES = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("*/*.yaml")) if path.parent.name != "scale"]
FEW = ("image/iscsi-session-lost.yaml", "boards/mixed-rack.yaml", "failover/nfs-server-gone.yaml")
SEEDS, FEW_SEEDS = range(1, 61), range(1, 6)


def moments(event: Event) -> Iterator[When]:
    """All that a scenario may call it."""
    name = f"{event.source}.{event.name}"
    node = event.node or None
    if event.source == "client" and "instance" in event.detail:
        state = event.detail["state"]
        if state in ("active", "error", "deleted"):
            yield When(instance=event.detail["instance"], state=state)
    if event.name not in vocabulary.EVENTS.get(event.source, ()):
        return
    yield When(event=name, node=node, detail=event.detail)
    yield When(probability=0.5, per=name, node=node)
    if event.source == "bmc":
        yield When(command=event.name, node=node, detail=event.detail)
    step = event.detail.get("step")
    if event.name == "step.started" and step not in vocabulary.ENROL_STEPS:
        yield When(step=step, node=node)


def refused(scenario: Scenario, trace: Trace) -> set[str]:
    sound = SoundMoments(scenario)
    found: dict[str, When] = {}
    for event in trace:
        for when in moments(event):
            words = (when.kind, when.event, when.command, when.step, when.state, when.node, when.instance)
            found[f"{words} {when.per} {sorted(when.detail)} {when.detail.get('step')}"] = when
    assert len(found) > 10
    return {f"{when}: {told}" for when in found.values() for _, told in sound.problems(when)}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FEW else pytest.mark.exhaustive) for name in FILES]
)
def test_no_moment_that_comes_in_a_scenario_is_refused_there(name: str) -> None:
    scenario = read(ROOT / name).scenario
    story = story_of(scenario, Fidelity.MODEL, scenario.seed)
    # What the other fidelity never sees is refused, and rightly.
    modelled = scenario.model_copy(update={"fidelities": (Fidelity.MODEL,)})
    assert not refused(modelled, play_story(story, Fidelity.MODEL, scenario.seed).trace)


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=() if seed in FEW_SEEDS else pytest.mark.exhaustive) for seed in SEEDS]
)
def test_no_moment_that_comes_in_a_made_up_story_is_refused_there(seed: int) -> None:
    story = random_story(seed, compute_hosts=1 + seed % 3)
    text = recorded(story, seed=seed, why="what nobody thought of", source="found by a search")
    assert not refused(read_text(text, "made-up"), play_story(story, Fidelity.MODEL, seed).trace)


def test_a_node_that_its_request_has_left_is_wiped_though_nobody_deletes_anything() -> None:
    text = """\
name: left-behind
why: what is refused as impossible never is
source: a request that leaves a bad node
rack: {nodes: [{name: n1}, {name: n2, memory_mib: 2048}]}
requests: [{deploy: any, image: tiny, as: web}]
faults:
  - {do: disk.missing, target: n1}
  - {do: host.kill, when: {node: n1, step: wipe}, heal_after_s: 30}
expect:
  - {instance: web, state: active}
  - {event: step.step.started, node: n1, detail: {step: wipe}, at_least: 1}
"""
    scenario = read_text(text, "left-behind")
    played = play_story(story_of(scenario, Fidelity.MODEL, 0), Fidelity.MODEL, 0)
    assert played.result.verdict is Verdict.PASS, failure_text(played)
