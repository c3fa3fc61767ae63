"""Reports of many stories: what they keep, and what becomes of one that can't be written."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scenarios.runner import campaign, cli, play, saved
from scenarios.runner.campaign import Campaign, Reports
from scenarios.runner.interruption import Interruption
from scenarios.runner.jobs import Job, play_job
from scenarios.runner.report import failure_text, page
from scenarios.runner.stage import Fidelity
from scenarios.runner.trace import Event, Origin, Trace
from scenarios.runner.verdict import Breach, Played, Result, Verdict

FULL = Path("/dev/full")
EVENTS = 100
"""Of each story."""


def ended(job: Job, verdict: Verdict) -> Played:
    what = "“n1” was written to by two"
    breaches = (Breach(promise="one_owner", what=what, at_s=1.0),) if verdict is Verdict.FAIL else ()
    result = Result(
        scenario=job.name, file="", fidelity="model", seed=job.seed, verdict=verdict, breaches=breaches
    )
    trace = Trace()
    for number in range(EVENTS):
        trace.add(Event(t_s=number, origin=Origin.DEVICE, source="bmc", name="chassis.status", node="n1"))
    return Played(result=result, trace=trace)


class Written:
    """What a campaign of such stories hands to its reports, and says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *verdicts: Verdict) -> None:
        self.kept: list[Played] = []
        self.said = io.StringIO()
        self._todo = [Job(fidelity=Fidelity.MODEL, seed=seed) for seed in range(len(verdicts))]
        rows = list(zip(self._todo, map(ended, self._todo, verdicts), strict=True))

        def play_all(jobs: Any, **how: Any) -> Iterator[tuple[Job, Played]]:
            yield from rows

        def drawn(played: Any) -> str:
            self.kept = list(played)
            return page(played)

        monkeypatch.setattr(campaign, "play_all", play_all)
        monkeypatch.setattr(campaign, "page", drawn)

    def play(self, folder: Path, reports: Reports) -> int:
        """The exit code."""
        out = Console(file=self.said, width=200)
        return Campaign(out, folder, 1, False, None, reports, Interruption()).play(self._todo)

    @property
    def events(self) -> list[tuple[int, int]]:
        """Of each story, those that were kept and those that weren't."""
        return [(len(one.trace), one.left_out) for one in self.kept]


PASS, FAIL, INFRA = Verdict.PASS, Verdict.FAIL, Verdict.INFRA


def test_beyond_what_a_page_draws_only_failures_keep_their_events(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(campaign, "MOST_EVENTS", 2 * EVENTS)
    written = Written(monkeypatch, PASS, PASS, PASS, FAIL, INFRA, PASS)
    assert written.play(tmp_path, Reports(html=tmp_path / "page.html")) == 1
    whole, left_out = (EVENTS, 0), (0, EVENTS)
    assert written.events == [whole, whole, left_out, whole, whole, left_out]


def test_a_report_is_utf_8_whatever_the_locale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("io.text_encoding", lambda encoding, *level: encoding or "ascii")
    reports = Reports(tmp_path / "junit.xml", tmp_path / "page.html")
    Written(monkeypatch, FAIL).play(tmp_path, reports)
    assert "“n1”" in (tmp_path / "junit.xml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("verdict", "code"), [(PASS, 5), (FAIL, 1)])
def test_a_report_without_room_is_told_in_words_and_the_other_is_written(
    verdict: Verdict, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = Written(monkeypatch, verdict)
    assert written.play(tmp_path, Reports(FULL, tmp_path / "page.html")) == code
    assert f"not all is reported: {FULL} can't be written: No space left on device" in written.said.getvalue()
    assert "random-0" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(("verdict", "code"), [(PASS, 5), (FAIL, 1)])
def test_one_story_whose_report_has_no_room_is_told_in_words(
    verdict: Verdict, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    played = ended(Job(fidelity=Fidelity.MODEL, seed=1), verdict)
    assert cli._reported(played, Reports(html=FULL)) == code
    assert f"bmsim: {FULL} can't be written: No space left on device" in capsys.readouterr().err


def test_a_trace_without_room_hides_no_verdict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def save(*given: Any) -> Path:
        raise OSError(28, "No space left on device")

    job = Job(fidelity=Fidelity.MODEL, seed=4)
    monkeypatch.setattr(saved, "save", save)
    monkeypatch.setattr(play, "play_story", lambda *given, **named: ended(job, FAIL))
    played = play_job(job, tmp_path)
    assert played.result.verdict is FAIL
    assert played.result.replay == job.command
    told = f"its trace can't be kept in {tmp_path}: No space left on device; name another folder by --traces"
    assert told in failure_text(played)
