"""A benchmark that misses a goal says so, and the goals that are written down are those."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import pytest

from tests.benchmarks import (
    control_plane,
    demo,
    deploy_overhead,
    ec2,
    failover,
    ironic,
    model_speed,
    pdu,
    placement,
)
from tests.benchmarks.goals import Goal, exit_code, offer_check

PERFORMANCE = Path(__file__).resolve().parents[3] / "docs/performance.md"
HAVE_GOALS = (control_plane, placement, ec2, deploy_overhead, model_speed, failover, demo, pdu, ironic)

QUICK = Goal("answered", 20, "ms")
MANY = Goal("deploys", 1_000, "a minute", at_least=True)


@pytest.mark.parametrize(("answered", "deploys"), [(20, 1_000), (0.1, 1_001)])
def test_a_run_that_meets_its_goals_says_nothing(
    answered: float, deploys: float, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code((QUICK, MANY), {"answered": answered, "deploys": deploys}, check=1) == 0
    assert capsys.readouterr() == ("", "")


def test_each_goal_that_is_missed_is_named_with_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code((QUICK, MANY), {"answered": 20.04, "deploys": 312.4}, check=1) == 1
    assert capsys.readouterr().err.splitlines() == [
        "answered: 20.04 ms; the goal is at most 20 ms",
        "deploys: 312.4 a minute; the goal is at least 1,000 a minute",
    ]


@pytest.mark.parametrize("figures", [{}, {"deploys": math.nan}])
def test_what_was_not_measured_meets_no_goal(figures: dict[str, float]) -> None:
    assert exit_code((MANY,), figures, check=1) == 1


@pytest.mark.parametrize(("answered", "deploys", "code"), [(40, 500, 0), (40.1, 500, 1), (40, 499, 1)])
def test_a_slower_machine_has_room_in_its_times(answered: float, deploys: float, code: int) -> None:
    assert exit_code((QUICK, MANY), {"answered": answered, "deploys": deploys}, check=2) == code


def test_a_slower_machine_has_no_room_in_a_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code((Goal("ours ÷ theirs", 10, at_least=True),), {"ours ÷ theirs": 9.9}, check=2) == 1
    assert capsys.readouterr().err == "ours ÷ theirs: 9.9; the goal is at least 10\n"


@pytest.mark.parametrize(("room", "most"), [(1, 1.5), (2, 15)])
def test_what_others_on_the_machine_make_dearer_has_room_in_the_suite_alone(room: float, most: float) -> None:
    goal = Goal("many ÷ few", 1.5, cold=True)
    assert exit_code((goal,), {"many ÷ few": most}, check=room) == 0
    assert exit_code((goal,), {"many ÷ few": most + 0.1}, check=room) == 1


@pytest.mark.parametrize(("words", "room"), [([], 0), (["--check"], 1), (["--check", "2"], 2)])
def test_the_room_is_asked_for_with_the_check(words: list[str], room: float) -> None:
    parser = argparse.ArgumentParser()
    offer_check(parser)
    assert parser.parse_args(words).check == room


@pytest.mark.parametrize("room", ["0.5", "inf", "nan", "much"])
def test_a_room_that_is_none_is_refused(room: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    offer_check(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--check", room])
    assert room in capsys.readouterr().err


def test_nobody_is_told_who_did_not_ask(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code((QUICK,), {"answered": 1e9}, check=0) == 0
    assert capsys.readouterr() == ("", "")


def test_the_page_of_figures_has_each_goal() -> None:
    rows = [
        f"| `{module.__name__.rpartition('.')[2]}` | {goal.figure} | {goal.bound} |"
        for module in HAVE_GOALS
        for goal in module.GOALS
    ]
    head = PERFORMANCE.read_text().partition("\n## ")[0]
    assert [line for line in head.splitlines() if line.startswith("| `")][1:] == rows


def test_the_figures_of_a_benchmark_have_the_names_of_its_goals() -> None:
    one = placement.Figures("sqlite", 10_000, "crowd", 2_000, 465, 17.8, 9, 300)
    good, dear = {100: 300.0, 1_000: 900.0, 10_000: 450.0}, {100: 300.0, 1_000: 300.0, 10_000: 451.0}
    for cpu_us, instructions, code in ((good, good, 0), (dear, good, 1), (good, dear, 1)):
        same = placement.Growth(cpu_us, instructions)
        assert exit_code(placement.GOALS, one.named | same.figures, check=1) == code


def test_the_figures_of_pdus_have_the_names_of_their_goals_at_the_usual_sizes_alone() -> None:
    found = pdu.figures([400, 500, 600], [9, 10, 30], pdus=10, outlets=20, answer_s=0.2)
    assert exit_code(pdu.GOALS, found, check=1) == 0
    fewer = pdu.figures([400, 500, 600], [1], pdus=2, outlets=20, answer_s=0.2)
    assert exit_code(pdu.GOALS, fewer, check=1) == 1


@pytest.mark.parametrize(("slowest_s", "code"), [(10.0, 0), (9.9, 1)])
def test_how_many_times_as_many_deploys_as_ironic_s_is_of_the_medians(slowest_s: float, code: int) -> None:
    theirs = [{"enrol": 1.0, "deploy": took_s} for took_s in (1.0, slowest_s, 99.0)]
    ours = [{"enrol": 99.0, "deploy": took_s} for took_s in (0.1, 1.0, 5.0)]
    assert exit_code(ironic.GOALS, ironic.figures(theirs, ours), check=1) == code
