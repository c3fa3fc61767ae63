"""A run of many stories, watched: progress, what failed, reports, the exit code."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from scenarios.runner.interruption import Interruption
from scenarios.runner.jobs import Job
from scenarios.runner.pool import Journal, play_all
from scenarios.runner.report import failure_text, junit, page
from scenarios.runner.report.page import MOST_EVENTS
from scenarios.runner.stage import Fidelity, LabTrouble
from scenarios.runner.trace import Trace
from scenarios.runner.verdict import Played, Verdict

EXIT_FAIL, EXIT_INFRA = 1, 5

FEW = 100
"""So many stories at most have a line each, even when they pass."""

MACHINES_AT_A_TIME = 1
"""Unless more are asked for: they would wait for each other."""

LINE_EVERY_S = 60.0
"""Of progress, where no bar can be drawn."""


def exit_code(verdicts: Iterable[Verdict]) -> int:
    found = set(verdicts)
    if Verdict.FAIL in found:
        return EXIT_FAIL
    return EXIT_INFRA if Verdict.INFRA in found else 0


@dataclass(frozen=True, slots=True)
class Reports:
    """Files to write, if any."""

    junit: Path | None = None
    html: Path | None = None

    def write(self, played: Sequence[Played]) -> None:
        """Raises LabTrouble when one can't be; the other is all the same."""
        failed = []
        for file, form in ((self.junit, junit), (self.html, page)):
            try:
                if file is not None:
                    file.write_text(form(played), encoding="utf-8")
            except OSError as error:
                failed.append(f"{file} can't be written: {error.strerror}")
        if failed:
            raise LabTrouble("; ".join(failed))


class Campaign:
    """workers: None: one for each core, and `MACHINES_AT_A_TIME`. clock: seconds, from anywhere."""

    def __init__(
        self,
        out: Console,
        traces: Path,
        workers: int | None,
        stop_at_first: bool,
        journal: Journal | None,
        reports: Reports,
        interruption: Interruption,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._traces = traces
        self._workers = workers
        self._stop_at_first = stop_at_first
        self._journal = journal
        self._reports = reports
        self._interruption = interruption
        self._clock = clock
        self._verdicts = dict.fromkeys(Verdict, 0)
        self._kept: list[Played] = []
        self._events_kept = 0
        self._broke = ""
        self._ending = False

    def play(self, todo: Sequence[Job]) -> int:
        """The exit code. An interruption ends it, and so does a worker that dies, with what is known by
        then."""
        left = [job for job in todo if self._journal is None or job not in self._journal]
        if len(left) < len(todo):
            self._say(f"{len(todo) - len(left)} passed already, by the journal")
        if self._journal is not None and self._journal.outdated:
            self._say(f"{self._journal.outdated} passed before the code changed, and are played again")
        with closing(self._rows(left)) as rows:
            self._watch(rows, len(left))
        try:
            self._reports.write(self._kept)
        except LabTrouble as trouble:
            self._broke = str(trouble)
            self._say(f"all were judged, and not all is reported: {trouble}")
        found = exit_code(verdict for verdict, number in self._verdicts.items() if number)
        if self._broke and found != EXIT_FAIL:
            return EXIT_INFRA
        return self._interruption.exit_code if self._interrupted(len(left)) and not found else found

    def _rows(self, jobs: Sequence[Job]) -> Generator[tuple[Job, Played], None, None]:
        usual = {Fidelity.MODEL: os.cpu_count() or 1, Fidelity.MACHINE: MACHINES_AT_A_TIME}
        for fidelity, workers in usual.items():
            if alike := [job for job in jobs if job.fidelity is fidelity]:
                yield from play_all(
                    alike,
                    workers=min(self._workers or workers, len(alike)),
                    traces=self._traces,
                    keep_traces=self._reports.html is not None,
                    stop=self._enough,
                    interruption=self._interruption,
                )

    def _enough(self) -> bool:
        """Whether nothing more is to be begun."""
        if self._interruption.number and not self._ending:
            self._ending = True
            self._say("ending: what is being played comes to its end; another Ctrl-C ends that too")
        return self._ending or (self._stop_at_first and self._verdicts[Verdict.FAIL] > 0)

    def _interrupted(self, total: int) -> bool:
        """Before all were played."""
        return self._interruption.number > 0 and self._played < total

    def _watch(self, rows: Iterable[tuple[Job, Played]], total: int) -> None:
        """Until all are played, or somebody has enough of it."""
        drawn = self._out.is_terminal
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        bar = Progress(*columns, *times, console=self._out, disable=not drawn, get_time=self._clock)
        with bar as progress:
            task = progress.add_task("starting", total=total)
            started = told = self._clock()
            try:
                for job, played in rows:
                    self._take(job, played, tell=total <= FEW)
                    now = self._clock()
                    progress.update(task, advance=1, description=self._progress(now - started))
                    if not drawn and now - told >= LINE_EVERY_S:
                        self._say(f"{self._played} of {total}, {self._progress(now - started)}")
                        told = now
            except LabTrouble as trouble:
                self._broke = str(trouble)
            took_s = self._clock() - started
        counts = ", ".join(f"{number} {verdict}" for verdict, number in self._verdicts.items() if number)
        self._say(f"{counts or 'nothing to play'} in {took_s:.1f} s, {self._rate(took_s)}")
        if self._broke:
            self._say(f"the lab broke, {total - self._played} were not played: {self._broke}")
        if self._interrupted(total):
            again = "the same command goes on" if self._journal else "with --resume FILE one can go on"
            self._say(f"interrupted, {total - self._played} were not played: {again}")

    @property
    def _played(self) -> int:
        return sum(self._verdicts.values())

    def _rate(self, took_s: float) -> str:
        return f"{60 * self._played / max(took_s, 1e-6):.0f} a minute"

    def _progress(self, took_s: float) -> str:
        bad = sum(number for verdict, number in self._verdicts.items() if verdict is not Verdict.PASS)
        return f"{self._rate(took_s)}, {bad} failed" if bad else self._rate(took_s)

    def _take(self, job: Job, played: Played, *, tell: bool) -> None:
        result = played.result
        self._verdicts[result.verdict] += 1
        if self._reports != Reports():
            self._keep(played)
        if self._journal is not None:
            self._journal.add(job, result)
        if tell or result.verdict is not Verdict.PASS:
            took = f"{result.story_s:.0f} s in {result.took_s:.1f} s"
            self._say(f"{result.verdict.upper():5} {job.label}  {took}")
        if result.verdict is not Verdict.PASS:
            self._say(failure_text(played))

    def _keep(self, played: Played) -> None:
        """For the reports. Of more events than a page draws, those of stories that passed aren't kept: ten
        thousand stories would take gigabytes."""
        number = len(played.trace)
        if played.result.verdict is Verdict.PASS and self._events_kept + number > MOST_EVENTS:
            played, number = replace(played, trace=Trace(), left_out=number), 0
        self._events_kept += number
        self._kept.append(played)

    def _say(self, text: str) -> None:
        self._out.print(text, soft_wrap=True, markup=False)
