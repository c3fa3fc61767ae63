"""A defect of the lab on machines is told as such, with what was seen before it."""

from __future__ import annotations

from typing import Any

import pytest

from scenarios.runner import play
from scenarios.runner.play import play_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import Story
from scenarios.runner.verdict import Breach, Verdict

STORY = Story(name="broken", hosts=(), nodes=(), requests=())


class Stage:
    """Of a lab that came up, and breaks when `breaks` says so."""

    breaks = ""

    def __init__(self, *given: Any) -> None: ...

    def now_s(self) -> float:
        return 60.0

    async def __aenter__(self) -> Stage:
        if self.breaks == "before":
            raise KeyError("n1")
        return self

    async def __aexit__(self, *error: object) -> None: ...


class Conductor:
    """Has seen this much when the lab breaks."""

    def __init__(self, *given: Any) -> None:
        self.breaches = [
            Breach(promise="one_owner", what="two acted", at_s=30.0),
            Breach(promise="one_owner", what="two act", at_s=60.0),
            Breach(promise="deadline", what="it never ended", at_s=40.0),
        ]

    async def play(self) -> None:
        raise KeyError("n1")


@pytest.fixture(autouse=True)
def _lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "MachineStage", Stage)
    monkeypatch.setattr(play, "Conductor", Conductor)


def test_what_devices_showed_before_is_told_and_what_it_may_explain_is_not() -> None:
    result = play_story(STORY, Fidelity.MACHINE, 1).result
    assert result.verdict is Verdict.FAIL
    assert [breach.what for breach in result.breaches] == ["two acted"]
    assert "KeyError: 'n1'" in result.trouble


def test_one_before_the_story_says_nothing_of_the_provisioner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "breaks", "before")
    result = play_story(STORY, Fidelity.MACHINE, 1).result
    assert (result.verdict, result.breaches) == (Verdict.INFRA, ())
    assert "KeyError: 'n1'" in result.trouble
