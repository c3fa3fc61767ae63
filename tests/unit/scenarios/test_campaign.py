"""A run of many stories tells how far it is, and what it knows when it comes to an early end."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scenarios.runner import campaign, pool
from scenarios.runner.campaign import LINE_EVERY_S, Campaign, Reports
from scenarios.runner.interruption import Interruption
from scenarios.runner.jobs import Job
from scenarios.runner.pool import Journal
from scenarios.runner.stage import Fidelity, LabTrouble
from scenarios.runner.trace import Trace
from scenarios.runner.verdict import Breach, Played, Result, Verdict

JOBS = [Job(fidelity=Fidelity.MODEL, seed=seed) for seed in (1, 2, 3)]


def played(job: Job, verdict: Verdict) -> Played:
    breaches = (Breach(promise="one_owner", what="two acted", at_s=1.0),) if verdict is Verdict.FAIL else ()
    result = Result(
        scenario=job.name, file="", fidelity="model", seed=job.seed, verdict=verdict, breaches=breaches
    )
    return Played(result=result, trace=Trace())


class Told:
    """A campaign whose stories end as `verdicts` says, one each `every_s` of its clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, every_s: float = 1.0) -> None:
        self.said = io.StringIO()
        self.interruption = Interruption()
        self.verdicts: dict[int, Verdict] = {}
        self.during: dict[int, Callable[[], object]] = {}
        self.closed = False
        self._folder = folder
        self._every_s = every_s
        self._now_s = 0.0
        monkeypatch.setattr(campaign, "play_all", self._play_all)

    def play(
        self, todo: Sequence[Job] = JOBS, *, journal: Journal | None = None, terminal: bool = False
    ) -> int:
        """The exit code."""
        out = Console(file=self.said, width=200, force_terminal=terminal)
        told = Campaign(
            out, self._folder, 1, False, journal, Reports(), self.interruption, clock=lambda: self._now_s
        )
        return told.play(todo)

    @property
    def lines(self) -> list[str]:
        return self.said.getvalue().splitlines()

    def _play_all(
        self, jobs: Sequence[Job], *, stop: Callable[[], bool], **how: Any
    ) -> Iterator[tuple[Job, Played]]:
        """As the pool: what is being played comes to its end, and nothing is begun after a stop."""
        try:
            for job in jobs:
                if stop():
                    return
                self.during.get(job.seed, lambda: None)()
                self._now_s += self._every_s
                yield job, played(job, self.verdicts.get(job.seed, Verdict.PASS))
        finally:
            self.closed = True

    def interrupt(self, seed: int, number: int) -> None:
        """A signal comes while this story is played."""
        self.during[seed] = lambda: signal.raise_signal(number)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Told:
    return Told(monkeypatch, tmp_path)


def many(number: int) -> list[Job]:
    return [Job(fidelity=Fidelity.MODEL, seed=seed) for seed in range(1, number + 1)]


def test_a_log_is_told_once_a_minute_how_far_it_is_and_how_fast(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = Told(monkeypatch, tmp_path, every_s=0.5)
    told.verdicts[130] = Verdict.INFRA
    assert told.play(many(300)) == 5
    assert LINE_EVERY_S == 60
    assert [line for line in told.lines if " of 300" in line] == [
        "120 of 300, 120 a minute",
        "240 of 300, 120 a minute, 1 failed",
    ]
    assert told.lines[-1] == "299 pass, 1 infra in 150.0 s, 120 a minute"


def test_a_terminal_shows_how_far_it_is_and_how_fast_all_the_time(told: Told) -> None:
    told.verdicts[1] = Verdict.FAIL
    assert told.play(terminal=True) == 1
    last_bar = [line for line in told.lines if "a minute" in line and "3/3" in line][-1]
    assert "60 a minute, 1 failed" in last_bar


def test_many_stories_that_pass_have_no_line_each(told: Told) -> None:
    assert told.play(many(101)) == 0
    assert [line for line in told.lines if "PASS" in line] == []
    assert told.play(many(100)) == 0
    assert [line.split("  ")[1] for line in told.lines if "PASS" in line] == [
        f"random::model seed {seed}" for seed in range(1, 101)
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_as_shells_have_it_with_a_summary(told: Told, number: int) -> None:
    told.interrupt(2, number)
    with told.interruption.listening():
        assert told.play() == 128 + number
    assert told.lines[-3:] == [
        "ending: what is being played comes to its end; another Ctrl-C ends that too",
        "2 pass in 2.0 s, 60 a minute",
        "interrupted, 1 were not played: with --resume FILE one can go on",
    ]


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.FAIL, 1), (Verdict.INFRA, 5)])
def test_an_interruption_hides_nothing_that_was_known_before(told: Told, verdict: Verdict, code: int) -> None:
    told.verdicts[1] = verdict
    told.interrupt(1, signal.SIGTERM)
    with told.interruption.listening():
        assert told.play() == code
    assert told.lines[-1].startswith("interrupted, 2 were not played")


def test_what_was_played_before_an_interruption_is_not_played_again(told: Told, tmp_path: Path) -> None:
    told.interrupt(2, signal.SIGTERM)
    with told.interruption.listening():
        told.play(journal=Journal(tmp_path / "journal"))
    assert told.lines[-1] == "interrupted, 1 were not played: the same command goes on"
    told.interruption = Interruption()
    told.during.clear()
    assert told.play(journal=Journal(tmp_path / "journal")) == 0
    assert "2 passed already, by the journal" in told.lines
    assert told.lines[-1] == "1 pass in 1.0 s, 60 a minute"


def test_an_interruption_after_the_last_story_changes_nothing(told: Told) -> None:
    told.interrupt(3, signal.SIGTERM)
    with told.interruption.listening():
        assert told.play() == 0
    assert told.lines[-1] == "3 pass in 3.0 s, 60 a minute"


def test_a_journal_that_cannot_be_written_any_more_ends_it_with_what_is_known(
    told: Told, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal")
    told.during[2] = lambda: [(tmp_path / "journal").unlink(), (tmp_path / "journal").mkdir()]
    assert told.play(journal=journal) == 5
    assert told.lines[-2:] == [
        "2 pass in 2.0 s, 60 a minute",
        f"the lab broke, 1 were not played: {tmp_path / 'journal'} can't be written: Is a directory",
    ]
    assert told.closed, "nobody ends the workers"


def test_signals_strike_nothing_and_are_told_to_who_waits() -> None:
    heard: list[int] = []
    interruption = Interruption()
    interruption.tell(lambda: heard.append(interruption.number))
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interruption.listening():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert not interruption.urgent
        signal.raise_signal(signal.SIGINT)
        assert interruption.urgent
    assert heard == [signal.SIGTERM] * 3
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.FAIL, 1), (Verdict.PASS, 5), (Verdict.INFRA, 5)])
def test_a_worker_that_dies_hides_nothing_that_was_known_before(
    verdict: Verdict, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def dies_over_the_second(jobs: Any, **how: Any) -> Iterator[tuple[Job, Played]]:
        yield JOBS[0], played(JOBS[0], verdict)
        raise LabTrouble("a worker process died, while these were played: random::model seed 2")

    monkeypatch.setattr(campaign, "play_all", dies_over_the_second)
    said = io.StringIO()
    reports = Reports(junit=tmp_path / "junit.xml")
    ended = Campaign(Console(file=said, width=200), tmp_path, 1, False, None, reports, Interruption()).play(
        JOBS
    )
    assert ended == code
    assert "the lab broke, 2 were not played: a worker process died" in said.getvalue()
    assert "random-1" in (tmp_path / "junit.xml").read_text()


def test_a_worker_that_dies_is_told_with_all_that_was_played_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Pool:
        """Its only worker dies at once."""

        def __init__(self, *how: Any, **more: Any) -> None: ...

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *error: object) -> None: ...

        def submit(self, work: Callable[..., Played], *given: Any) -> Future[Played]:
            future: Future[Played] = Future()
            future.set_exception(BrokenProcessPool(f"of {os.getpid()}"))
            return future

        def shutdown(self, **how: Any) -> None: ...

    monkeypatch.setattr(pool, "ProcessPoolExecutor", Pool)

    def play(interruption: Interruption) -> list[tuple[Job, Played]]:
        how: Any = {"workers": 1, "traces": tmp_path, "keep_traces": False, "stop": lambda: False}
        return list(pool.play_all(JOBS[:1], interruption=interruption, **how))

    interruption = Interruption()
    with pytest.raises(LabTrouble, match="while these were played: random::model seed 1"):
        play(interruption)
    # Who ended the command may have ended its workers, too.
    interruption.number = signal.SIGTERM
    assert play(interruption) == []
