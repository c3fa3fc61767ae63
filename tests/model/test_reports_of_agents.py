"""What the trace tells of agents' reports, which they repeat for as long as they live."""

from __future__ import annotations

from dataclasses import replace

from scenarios.runner.play import play_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import OnEvent
from tests.model.mutants import DEPLOY, story, strike


def test_each_boots_report_is_told_once_however_long_it_waits() -> None:
    slow = strike(
        "disk.slow", when=OnEvent("step", "step.started", "n1", detail={"step": "write_image"}), factor=200
    )
    writes = OnEvent("step", "step.started", "n1", detail={"step": "write_image"}, after_s=100.0)
    lost = strike("node.power_loss", when=writes)
    played = play_story(replace(story(DEPLOY), strikes=(slow, lost)), Fidelity.MODEL, 1)
    told = [event for event in played.trace if (event.source, event.name) == ("agent", "hello")]
    boots = [event for event in played.trace if (event.source, event.name) == ("machine", "agent")]
    assert len(boots) == len(told) == 2
    assert told[0].t_s + 90 < boots[1].t_s, "the first one would have repeated it"
