"""Stories that nobody wrote: whatever is asked of a rack and breaks in it, no promise is broken.

STORIES=5000 in the environment plays so many, others each time, instead of the few that are always the same.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from provisioner.core.plan import PLANS
from scenarios.runner.collect import traces_of_tests
from scenarios.runner.compile import story_of
from scenarios.runner.jobs import Job, play_job
from scenarios.runner.load import read_text
from scenarios.runner.model.stage import ModelStage
from scenarios.runner.record import recorded
from scenarios.runner.report import failure_text
from scenarios.runner.saved import read_saved
from scenarios.runner.stage import Fidelity, LabTrouble, NotBegun
from scenarios.runner.story import Story
from tests.model import made_up
from tests.model.made_up import BrokenPromise, Storyteller
from tests.model.mutants import story

FEW = 60
DEEP = int(os.environ.get("STORIES", "0"))
PROFILE = settings(
    max_examples=DEEP or FEW,
    derandomize=not DEEP,
    database=None,
    deadline=None,
    stateful_step_count=20 if DEEP else 12,
    # Not Phase.explain: it traces each line of whatever ran since the first failure.
    phases=(Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


SEARCH = settings(PROFILE, max_examples=FEW, derandomize=True, stateful_step_count=12)


def search(profile: settings = PROFILE) -> BrokenPromise | None:
    """The smallest story that was found not to end as it should."""
    try:
        run_state_machine_as_test(Storyteller, settings=profile)
    except BrokenPromise as broken:
        return broken
    return None


def told(broken: BrokenPromise, traces: Path) -> str:
    """What broke; the story as a scenario file, and the command that makes it one."""
    why = "no promise is broken whatever breaks"
    text = recorded(broken.story, seed=broken.seed, why=why, source="made up by Hypothesis")
    job = Job(fidelity=Fidelity.MODEL, seed=broken.seed, scenario=read_text(text, "made-up"))
    return f"{failure_text(play_job(job, traces))}\n\n{text}"


@pytest.mark.exhaustive
@pytest.mark.timeout(FEW + 30 * DEEP + 600)
def test_no_promise_is_broken_in_any_story_that_is_made_up() -> None:
    broken = search()
    if broken is not None:
        pytest.fail(told(broken, traces_of_tests()), pytrace=False)


def test_any_story_that_is_made_up_can_be_written_down_to_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []

    def keep(story: Story, seed: int) -> None:
        text = recorded(story, seed=seed, why="no promise is broken", source="made up by Hypothesis")
        assert story_of(read_text(text, "made-up"), Fidelity.MODEL, seed) == story
        kept.append(story)

    monkeypatch.setattr(made_up, "play", keep)
    run_state_machine_as_test(Storyteller, settings=settings(SEARCH, max_examples=FEW))
    assert sum(len(story.strikes) for story in kept) > FEW // 2


@pytest.mark.exhaustive
def test_what_breaks_a_promise_is_found_and_made_small(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clean = PLANS["clean"]
    steps = tuple(step for step in clean.steps if step.name != "wipe")
    monkeypatch.setitem(PLANS, "clean", replace(clean, steps=steps))
    broken = search(SEARCH)
    assert broken is not None
    said = told(broken, tmp_path)
    assert "wiped_before_offered" in said
    written = yaml.safe_load(said[said.index("\nname: ") :])
    assert written["rack"] == {"compute_hosts": 1, "nodes": [{"name": "n1"}]}
    assert [next(iter(one)) for one in written["requests"]] == ["deploy", "delete"]
    assert written["faults"] == []
    trace = re.search(r"^keep: bmsim scenario record (\S+) FILE", said, re.MULTILINE)
    assert trace is not None
    assert read_saved(Path(trace[1])).job.story == broken.story


@pytest.mark.parametrize(
    ("error", "head"),
    [(LabTrouble("a disk of the lab is full"), "INFRA"), (NotBegun("deadline", "late"), "FAIL")],
)
def test_whatever_a_story_ends_by_that_is_made_up_it_is_written_down(
    error: Exception, head: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def settled(self: ModelStage) -> None:
        raise error

    monkeypatch.setattr(ModelStage, "settled", settled)
    with pytest.raises(BrokenPromise) as caught:
        made_up.play(replace(story(), name="made-up"), 1)
    said = told(caught.value, tmp_path)
    assert said.startswith(head)
    assert str(error) in said
    assert "\nname: made-up\n" in said
    assert type(caught.value).__name__ == ("Broken_lab" if head == "INFRA" else "Broken_deadline")
