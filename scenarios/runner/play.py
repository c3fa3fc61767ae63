"""Plays one story once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from random import Random

from scenarios.runner.agreement import disagreements
from scenarios.runner.compile import story_of
from scenarios.runner.conductor import Conductor
from scenarios.runner.deadlines import DEADLINES
from scenarios.runner.machine.stage import MachineStage
from scenarios.runner.model.playing import play_model
from scenarios.runner.schema import Scenario
from scenarios.runner.stage import Fidelity, LabTrouble
from scenarios.runner.story import Story
from scenarios.runner.trace import Event, Trace
from scenarios.runner.trouble import lab_broke
from scenarios.runner.verdict import Breach, Played, Result, Verdict

MOST_BREACHES = 100
"""A promise that is broken again and again is told so often."""


Listener = Callable[[Event], None]


def play(
    scenario: Scenario, fidelity: Fidelity, seed: int, *, file: str = "", listener: Listener | None = None
) -> Played:
    """Blocks until the story has ended, well or badly; raises nothing that the story brings about. listener:
    told of each event as it is seen."""
    story = story_of(scenario, fidelity, seed)
    played = play_story(story, fidelity, seed, file=file, listener=listener)
    if fidelity is Fidelity.MODEL or Fidelity.MODEL not in scenario.fidelities:
        return played
    return played if played.result.verdict is not Verdict.PASS else _compared(scenario, seed, played)


def _compared(scenario: Scenario, seed: int, machine: Played) -> Played:
    """What machines played, held against the model of it."""
    model = play_story(story_of(scenario, Fidelity.MODEL, seed), Fidelity.MODEL, seed)
    if model.result.verdict is Verdict.INFRA:
        trouble = f"it passes on machines, and at fidelity model the lab broke: {model.result.trouble}"
        return replace(machine, result=replace(machine.result, verdict=Verdict.INFRA, trouble=trouble))
    if model.result.verdict is Verdict.PASS:
        told = disagreements(model.trace, machine.trace, scenario.node_names, scenario.differs)
    else:
        told = [f"it passes on machines, and at fidelity model it ends in {model.result.verdict}"]
    if not told:
        return machine
    end_s = machine.result.story_s
    breaches = tuple(Breach(promise="agreement", what=what, at_s=end_s) for what in told)
    return replace(machine, result=replace(machine.result, verdict=Verdict.FAIL, breaches=breaches))


def play_story(
    story: Story, fidelity: Fidelity, seed: int, *, file: str = "", listener: Listener | None = None
) -> Played:
    """Blocks until the story has ended, well or badly; raises nothing that the story brings about. What plays
    it again is known to whoever knows where it comes from: `jobs.play_job`."""
    begun_s = time.perf_counter()
    trace, trouble = Trace(), ""
    if listener is not None:
        trace.listen(listener)
    breaches: list[Breach] = []
    try:
        if fidelity is Fidelity.MODEL:
            breaches = play_model(story, seed, trace)
        else:
            breaches = asyncio.run(_play_machine(story, seed, trace))
    except LabTrouble as error:
        trouble, breaches = str(error), list(error.breaches)
    except Exception as error:  # noqa: BLE001  # a defect of the lab: whoever plays many goes on, and tells it
        trouble = str(lab_broke(error, (), 0.0))
    verdict = Verdict.FAIL if breaches else Verdict.INFRA if trouble else Verdict.PASS
    result = Result(
        scenario=story.name,
        file=file,
        fidelity=str(fidelity),
        seed=seed,
        verdict=verdict,
        breaches=tuple(breaches[:MOST_BREACHES]),
        trouble=trouble,
        took_s=time.perf_counter() - begun_s,
        story_s=trace[-1:][0].t_s if len(trace) else 0.0,
        trace_sha256=trace.sha256(),
    )
    return Played(result=result, trace=trace)


async def _play_machine(story: Story, seed: int, trace: Trace) -> list[Breach]:
    async with MachineStage(story, seed, f"story-{seed % 1000}", trace) as stage:
        conductor = Conductor(story, stage, stage, DEADLINES[Fidelity.MACHINE], Random(f"{seed}:moments"))
        try:
            await conductor.play()
        except LabTrouble:
            raise
        except Exception as error:
            raise lab_broke(error, conductor.breaches, stage.now_s()) from error
        return conductor.breaches
