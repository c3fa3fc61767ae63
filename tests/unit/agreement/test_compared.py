"""A story that passed on machines is held against the model of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.runner import play
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import Story
from scenarios.runner.trace import Event, Origin, Trace
from scenarios.runner.verdict import Played, Result, Verdict
from tests.unit.scenarios.files import SOUND, scenario


def played(fidelity: Fidelity, verdict: Verdict = Verdict.PASS, *files: str) -> Played:
    trace = Trace()
    for file in files:
        told = Event(
            t_s=1.0, origin=Origin.DEVICE, source="http", name="get", node="n1", detail={"file": file}
        )
        trace.add(told)
    trouble = "a disk is full" if verdict is Verdict.INFRA else ""
    result = Result(scenario="a-story", file="", fidelity=fidelity, seed=0, verdict=verdict, trouble=trouble)
    return Played(result=result, trace=trace)


@pytest.mark.parametrize(
    ("model", "verdict"),
    [
        (played(Fidelity.MODEL, Verdict.PASS, "kernel"), Verdict.PASS),
        (played(Fidelity.MODEL), Verdict.FAIL),
        (played(Fidelity.MODEL, Verdict.FAIL, "kernel"), Verdict.FAIL),
        (played(Fidelity.MODEL, Verdict.INFRA, "kernel"), Verdict.INFRA),
    ],
    ids=["agrees", "tells another story", "fails", "lab broke"],
)
def test_what_the_model_tells_decides_and_a_lab_that_broke_says_nothing(
    model: Played, verdict: Verdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = played(Fidelity.MACHINE, Verdict.PASS, "kernel")

    def play_story(story: Story, fidelity: Fidelity, seed: int, **how: object) -> Played:
        return model if fidelity is Fidelity.MODEL else machine

    monkeypatch.setattr(play, "play_story", play_story)
    text = SOUND.replace("rack:", "fidelities: [model, machine]\nrack:")
    result = play.play(scenario(tmp_path, text), Fidelity.MACHINE, 0).result
    assert result.verdict is verdict
    assert bool(result.breaches) is (verdict is Verdict.FAIL)
    if verdict is Verdict.INFRA:
        assert "at fidelity model the lab broke: a disk is full" in result.trouble
