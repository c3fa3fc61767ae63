"""A defect ends a story, and is told of whose it is: with all that was seen before, in every command."""

from __future__ import annotations

import asyncio
import ctypes
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from provisioner.api import node_orders, nodes
from provisioner.api.image_fetches import ImageFetches
from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.core.errors import TransientError
from provisioner.core.outcome import Next, Outcome
from provisioner.core.plan import PLANS
from scenarios.runner import cli, pool
from scenarios.runner.client import PREPARED_S
from scenarios.runner.conductor import Conductor
from scenarios.runner.jobs import Job
from scenarios.runner.model import playing
from scenarios.runner.model.stage import ANSWER_S, ModelStage
from scenarios.runner.play import play_story
from scenarios.runner.record import recorded
from scenarios.runner.stage import Fidelity, LabTrouble
from scenarios.runner.story import Delete, OnEvent, OnTold, Story, Strike
from scenarios.runner.verdict import Played, Verdict
from scenarios.runner.virtual_time import run
from tests.model.mutants import DEPLOY, replace_steps, story

Act = Callable[[StepContext], Any]
WhenRunning = Callable[..., None]


def placed(function: Any, file: str | None) -> Any:
    """As if it stood in that file."""
    assert file is not None
    function.__code__ = function.__code__.replace(co_filename=file)
    return function


IN_LAB, IN_PROVISIONER = playing.__file__, worker.__file__


async def fail() -> None:
    raise KeyError("flavour")


async def end_the_process(ctx: StepContext) -> None:
    raise SystemExit(3)


async def forget_a_task(ctx: StepContext) -> None:
    asyncio.create_task(fail())  # noqa: RUF006  # that is what is tested


async def spin(ctx: StepContext) -> None:
    while True:
        await asyncio.sleep(0)


async def ask_the_clock(ctx: StepContext) -> None:
    time.time()


STEPS_BEFORE_A_LIVELOCK = 50_000


@pytest.fixture(autouse=True)
def _soon_a_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playing, "run", partial(run, steps_per_instant=STEPS_BEFORE_A_LIVELOCK))


@pytest.fixture
def when_running(monkeypatch: pytest.MonkeyPatch) -> WhenRunning:
    """Call it with what a provisioner does once an instance runs, and `of` which one."""
    running = worker.STEPS["instance_running"]

    def does(act: Act, *, of: str = "web") -> None:
        async def and_act(ctx: StepContext) -> Outcome:
            outcome = await running(ctx)
            if isinstance(outcome, Next) and ctx.deploy()[0].name == of:
                await act(ctx)
            return outcome

        replace_steps(monkeypatch, {"instance_running": and_act})

    return does


@pytest.fixture
def unwiped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A promise that is broken before the second instance of TWICE runs."""
    clean = PLANS["clean"]
    steps = tuple(step for step in clean.steps if step.name != "wipe")
    monkeypatch.setitem(PLANS, "clean", replace(clean, steps=steps))


ONCE = story(DEPLOY)
AGAIN = replace(DEPLOY, instance="next", when=OnTold("web", "deleted"))
TWICE = story(DEPLOY, Delete(instance="web", when=OnTold("web", "active")), AGAIN)


def play(what: Story = ONCE) -> Played:
    return play_story(what, Fidelity.MODEL, 1)


def told(played: Played) -> list[tuple[str, str]]:
    assert played.result.verdict is Verdict.FAIL, played.result.trouble
    assert len(played.trace), "what led to it is lost"
    return [(breach.promise, breach.what) for breach in played.result.breaches]


@pytest.mark.usefixtures("unwiped")
@pytest.mark.parametrize(
    ("act", "promise", "what"),
    [
        (spin, "deadline", "time stood still"),
        (forget_a_task, "no_defect", "KeyError: 'flavour' (tests/model/test_defects_told.py:"),
        (end_the_process, "no_defect", "SystemExit: 3"),
        (ask_the_clock, "no_defect", "time.time was wanted by tests/model/test_defects_told.py"),
    ],
)
def test_a_defect_of_the_provisioner_is_told_as_its_own_and_hides_nothing(
    act: Act, promise: str, what: str, when_running: WhenRunning
) -> None:
    when_running(act, of="next")
    breaches = told(play(TWICE))
    assert "wiped_before_offered" in {name for name, _ in breaches}
    assert any(name == promise and what in one for name, one in breaches)


def test_who_never_ends_when_told_to_is_told(when_running: WhenRunning) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def stay() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    async def begin(ctx: StepContext) -> None:
        tasks.append(asyncio.create_task(placed(stay, IN_PROVISIONER)()))

    when_running(begin)
    ((promise, what),) = told(play())
    assert promise == "deadline"
    assert "didn't end within 3600 s" in what


def test_an_answer_of_a_device_that_nobody_looks_at_is_the_provisioners_defect(
    when_running: WhenRunning,
) -> None:
    async def ask() -> None:
        raise TransientError("ask the BMC", answer="no answer")

    async def forget(ctx: StepContext) -> None:
        asyncio.create_task(placed(ask, IN_LAB)())  # noqa: RUF006  # that is what is tested

    when_running(forget)
    ((promise, what),) = told(play())
    assert promise == "no_defect"
    assert "TransientError: ask the BMC" in what


def test_a_defect_of_the_provisioner_is_told_though_the_lab_broke_too(
    when_running: WhenRunning,
) -> None:
    when_running(forget_a_task)
    never = OnEvent("step", "step.started", "n1", detail={"step": "wipe"})
    told_so = story(DEPLOY, Delete(instance="web", when=never))
    result = play(told_so).result
    assert result.verdict is Verdict.FAIL
    assert {breach.promise for breach in result.breaches} == {"no_defect"}
    assert "the story proves nothing" in result.trouble


# --- the lab's own --------------------------------------------------------------------------------


async def break_down(*given: Any) -> Any:
    raise KeyError("n1")


@pytest.fixture
def lab_breaks_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the story has ended, before its disks are looked at."""
    monkeypatch.setattr(ModelStage, "settled", placed(break_down, IN_LAB))


@pytest.mark.usefixtures("lab_breaks_down")
def test_a_defect_of_the_lab_says_nothing_of_the_provisioner() -> None:
    played = play()
    assert (played.result.verdict, played.result.breaches) == (Verdict.INFRA, ())
    assert "KeyError: 'n1'" in played.result.trouble
    assert len(played.trace)


@pytest.mark.usefixtures("lab_breaks_down", "unwiped")
def test_a_defect_of_the_lab_hides_nothing_that_devices_showed_before() -> None:
    played = play(TWICE)
    assert {promise for promise, _ in told(played)} == {"wiped_before_offered"}
    assert "KeyError: 'n1'" in played.result.trouble


@pytest.mark.usefixtures("unwiped")
def test_trouble_of_the_lab_that_nobody_looked_at_hides_nothing_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def trouble() -> None:
        raise LabTrouble("a disk of the lab is full")

    async def settled(self: ModelStage) -> None:
        asyncio.create_task(placed(trouble, IN_LAB)())  # noqa: RUF006  # that is what is tested
        await self.sleep(1)

    monkeypatch.setattr(ModelStage, "settled", settled)
    played = play(TWICE)
    assert {promise for promise, _ in told(played)} == {"wiped_before_offered"}
    assert "a disk of the lab is full" in played.result.trouble


def test_what_breaks_of_the_lab_in_a_call_of_the_api_is_no_answer_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nodes, "once", placed(break_down, IN_LAB))
    assert play().result.verdict is Verdict.INFRA


def test_who_ends_the_command_ends_the_story(monkeypatch: pytest.MonkeyPatch) -> None:
    async def end(self: Conductor) -> None:
        raise SystemExit(143)

    monkeypatch.setattr(Conductor, "play", placed(end, cli.__file__))
    with pytest.raises(SystemExit):
        play()


# --- before the story begins ----------------------------------------------------------------------


async def hang(*given: Any, **named: Any) -> Any:
    await asyncio.Event().wait()


@pytest.fixture
def enrolment_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_steps(monkeypatch, {"verify_power": hang})


@pytest.mark.usefixtures("enrolment_hangs")
def test_an_enrolment_that_never_ends_breaks_a_promise() -> None:
    still = f"node n1 is enrolling still, {PREPARED_S:.0f} s after the story was to begin"
    breaches = told(play())
    assert breaches == [("deadline", f"the story could not begin: {still}")]


@pytest.mark.usefixtures("enrolment_hangs")
def test_an_enrolment_that_the_lab_keeps_from_ending_breaks_none() -> None:
    begun = OnEvent("step", "step.started", "n1", detail={"step": "verify_power"})
    struck = replace(ONCE, strikes=(Strike(fault="bmc.silent", node="n1", when=begun),))
    result = play(struck).result
    assert result.verdict is Verdict.INFRA
    healed = replace(struck, strikes=(replace(struck.strikes[0], heal_after_s=60.0),))
    assert told(play(healed))[0][0] == "deadline"


def test_a_node_that_is_not_enrolled_for_a_defect_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*given: Any, **named: Any) -> Any:
        raise KeyError("flavour")

    monkeypatch.setattr(node_orders, "enrol", defect)
    ((promise, what),) = told(play())
    assert promise == "expectation"
    assert what.startswith("the story could not begin: POST /v1/nodes was answered with 500")
    assert what.endswith("KeyError: 'flavour'")


def test_an_api_that_never_answers_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "once", hang)
    never = f"no answer to POST /v1/nodes for {ANSWER_S:.0f} s"
    breaches = told(play())
    assert breaches == [("deadline", f"the story could not begin: {never}")]


def test_an_image_that_nobody_begins_to_fetch_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFetches, "run", hang)
    ((promise, what),) = told(play())
    assert promise == "deadline"
    assert "is queued still" in what


# --- commands -------------------------------------------------------------------------------------


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    file = tmp_path / "mutant.yaml"
    text = recorded(ONCE, seed=1, why="What a defect ends is told.", source="none: it is made up")
    file.write_text(text)
    return file


def test_a_command_that_shows_or_replays_a_defect_tells_its_breach(
    scenario: Path, tmp_path: Path, when_running: WhenRunning
) -> None:
    when_running(forget_a_task)
    traces = tmp_path / "traces"
    watched = CliRunner().invoke(cli.app, ["run", str(scenario), "--watch", "--traces", str(traces)])
    assert (watched.exit_code, watched.exception.__class__) == (1, SystemExit), watched.output
    assert "no_defect" in watched.stdout
    (trace,) = traces.iterdir()
    replayed = CliRunner().invoke(cli.app, ["replay", str(trace)])
    assert replayed.exit_code == 1
    assert "KeyError: 'flavour'" in replayed.stdout
    assert "every event is the same as then" in replayed.stdout


@pytest.mark.parametrize("error", [KeyError("n1"), SystemExit(3)])
def test_whatever_breaks_in_a_worker_the_search_goes_on(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(*given: Any) -> Played:
        raise error

    monkeypatch.setattr(pool, "play_job", play)
    monkeypatch.setattr(pool._Worker, "stopped", ctypes.c_bool(False), raising=False)
    played = pool._work(Job(fidelity=Fidelity.MODEL, seed=1), tmp_path, False)
    assert played is not None
    assert played.result.verdict is Verdict.INFRA
    assert type(error).__name__ in played.result.trouble
