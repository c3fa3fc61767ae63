from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scenarios.runner import pool
from scenarios.runner.jobs import Job
from scenarios.runner.load import BadScenario
from scenarios.runner.played_code import code_sha256
from scenarios.runner.pool import Journal
from scenarios.runner.saved import first_difference, read_saved, save
from scenarios.runner.stage import Fidelity
from scenarios.runner.trace import Event, Origin, Trace
from scenarios.runner.verdict import Played, Result, Verdict
from tests.unit.scenarios.files import SOUND, scenario


def event(t_s: float, name: str = "chassis.power.on") -> Event:
    return Event(t_s=t_s, origin=Origin.DEVICE, source="bmc", name=name, node="n1", detail={"result": "ok"})


def trace(*events: Event) -> Trace:
    made = Trace()
    for one in events:
        made.add(one)
    return made


def job(folder: Path, seed: int = 7) -> Job:
    one = scenario(folder)
    return Job(fidelity=Fidelity.MODEL, seed=seed, file="a/story.yaml", scenario=one)


def result(seed: int = 7, verdict: Verdict = Verdict.FAIL) -> Result:
    return Result(scenario="a-story", file="a/story.yaml", fidelity="model", seed=seed, verdict=verdict)


def test_a_trace_that_was_kept_tells_what_to_play_again(tmp_path: Path) -> None:
    played = Played(result=result(), trace=trace(event(1.0), event(2.5)))
    saved = read_saved(save(tmp_path / "traces", job(tmp_path), played))
    assert saved.job == job(tmp_path)
    assert saved.job.story == job(tmp_path).story
    assert saved.events == (event(1.0), event(2.5))


def test_a_story_that_was_made_up_is_kept_by_its_seed_and_size(tmp_path: Path) -> None:
    made_up = Job(fidelity=Fidelity.MODEL, seed=3, nodes=2, strikes=1)
    saved = read_saved(save(tmp_path, made_up, Played(result=result(3), trace=Trace())))
    assert saved.job.story == made_up.story
    assert len(saved.job.story.nodes) == 2


def test_stories_of_one_name_and_seed_are_kept_beside_each_other(tmp_path: Path) -> None:
    made_up = [Job(fidelity=Fidelity.MODEL, seed=3, nodes=nodes) for nodes in (2, 5)]
    kept = [save(tmp_path, one, Played(result=result(3), trace=Trace())) for one in made_up]
    assert [read_saved(path).job for path in kept] == made_up
    assert save(tmp_path, made_up[0], Played(result=result(3), trace=Trace())) == kept[0]


def test_a_trace_tells_which_code_played_it(tmp_path: Path) -> None:
    path = save(tmp_path, job(tmp_path), Played(result=result(), trace=Trace()))
    assert read_saved(path).code == code_sha256()
    head = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in head.items() if key != "code"}) + "\n")
    assert read_saved(path).code == ""


@pytest.mark.parametrize("name", ["a\u2028b", "a\x85b", "a\x0cb", "Grüße\r\n"])
def test_a_name_that_would_end_a_line_is_kept_as_it_is(name: str, tmp_path: Path) -> None:
    events = (event(1.0, name), event(2.0))
    saved = read_saved(save(tmp_path, job(tmp_path), Played(result=result(), trace=trace(*events))))
    assert saved.events == events


@pytest.mark.parametrize(
    "text", ["", "[]\n", "no json\n", "{}\n", '{"played": {"fidelity": "wire", "seed": 1}}\n']
)
def test_a_file_that_is_no_trace_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(text)
    with pytest.raises(BadScenario, match=r"trace\.jsonl: no trace"):
        read_saved(path)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("seeed", 1, "it was played by another version: seeed"),
        ("seed", "7", "seed is '7'"),
        ("file", 3, "file is 3"),
        ("scenario", {}, "its scenario is none of this version: name: Field required; why: "),
    ],
)
def test_a_trace_of_what_cannot_be_played_is_refused_in_one_line(
    field: str, value: object, told: str, tmp_path: Path
) -> None:
    path = save(tmp_path, job(tmp_path), Played(result=result(), trace=trace(event(1.0))))
    head, *rest = path.read_text().split("\n")
    row = json.loads(head)
    row["played"][field] = value
    path.write_text("\n".join((json.dumps(row), *rest)))
    with pytest.raises(BadScenario) as refused:
        read_saved(path)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_trace_with_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, job(tmp_path), Played(result=result(), trace=trace(event(1.0))))
    path.write_text(path.read_text().replace('"t_s":1.0', '"t_s":"soon"'))
    with pytest.raises(BadScenario, match="no trace that"):
        read_saved(path)


def test_a_trace_that_lost_a_line_is_known_to_be_damaged(tmp_path: Path) -> None:
    events = trace(event(1.0), event(2.5))
    told = replace(result(), trace_sha256=events.sha256())
    path = save(tmp_path, job(tmp_path), Played(result=told, trace=events))
    assert not read_saved(path).damaged
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert read_saved(path).damaged


def test_a_trace_for_which_there_is_no_space_leaves_nothing_behind(tmp_path: Path) -> None:
    played = Played(result=result(), trace=trace(event(1.0)))
    kept = save(tmp_path, job(tmp_path), played)
    kept.with_suffix(".new").symlink_to("/dev/full")
    before = kept.read_text()
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, job(tmp_path), played)
    assert not kept.with_suffix(".new").is_symlink()
    assert kept.read_text() == before


def test_a_missing_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadScenario, match="No such file"):
        read_saved(tmp_path / "none")


def test_the_first_difference_of_two_traces_is_told() -> None:
    before = (event(1.0), event(2.0))
    assert first_difference(before, trace(*before)) == ""
    assert "chassis.power.off" in first_difference(before, trace(event(1.0), event(2.0, "chassis.power.off")))
    assert first_difference(before, trace(event(1.0))).startswith("only then:")
    assert first_difference(before, trace(*before, event(3.0))).startswith("only now:")


def test_a_journal_remembers_what_passed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.add(job(tmp_path, 1), result(1, Verdict.PASS))
    journal.add(job(tmp_path, 2), result(2, Verdict.FAIL))
    journal.add(job(tmp_path, 3), result(3, Verdict.INFRA))
    again = Journal(path)
    assert [seed for seed in (1, 2, 3, 4) if job(tmp_path, seed) in again] == [1]


def test_what_other_code_passed_is_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    Journal(path).add(job(tmp_path, 1), result(1, Verdict.PASS))
    monkeypatch.setattr(pool, "code_sha256", lambda: "of tomorrow's code")
    later = Journal(path)
    assert job(tmp_path, 1) not in later
    assert later.outdated == 1
    later.add(job(tmp_path, 1), result(1, Verdict.PASS))
    assert job(tmp_path, 1) in Journal(path)


def test_a_scenario_that_changed_is_played_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.add(job(tmp_path), result(verdict=Verdict.PASS))
    changed = scenario(tmp_path, SOUND.replace("count: 2", "count: 3"))
    anew = Job(fidelity=Fidelity.MODEL, seed=7, file="a/story.yaml", scenario=changed)
    assert anew not in Journal(tmp_path / "journal")


def test_a_line_that_was_cut_off_in_a_journal_is_told_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text('{"code": "", "key": "a", "verdict": "pass"}\n{"key": "b", "ver')
    with pytest.raises(BadScenario, match=r"journal:2: no line of a journal.*; remove it"):
        Journal(path)


def test_each_job_says_what_plays_it_again(tmp_path: Path) -> None:
    assert job(tmp_path).command == "bmsim scenario run a/story.yaml --fidelity model --seed 7"
    made_up = Job(fidelity=Fidelity.MODEL, seed=3, nodes=2, strikes=1)
    assert made_up.command == "bmsim scenario search --seeds 3..3 --nodes 2 --strikes 1"
