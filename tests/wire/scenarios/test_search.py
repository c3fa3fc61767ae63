"""`bmsim scenario search` with several workers: what it finds, and how it ends when somebody has enough."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from scenarios.runner.saved import read_saved
from tests.wire.bmsim.traces import MARK, processes
from tests.wire.cli.conftest import eventually
from tests.wire.scenarios.test_command import BMSIM, DEADLINE_S
from tests.wire.scenarios.test_replay import WITHOUT_WIPE

pytestmark = pytest.mark.wire

TINY = ("--nodes", "1", "--strikes", "0")
MORE_THAN_ARE_PLAYED = 20_000

HELD = """\
import sys, time
from pathlib import Path
if "spawn_main" in " ".join(sys.orig_argv):
    from scenarios.runner import pool
    play_job = pool.play_job
    def held(job, traces):
        Path(f"begun-{job.seed}").touch()
        while not Path("go").exists():
            time.sleep(0.01)
        return play_job(job, traces)
    pool.play_job = held
"""
"""A worker's stories last until there is a file `go`."""

WHILE_STARTED = """\
import os, signal, sys
from pathlib import Path
if "spawn_main" in " ".join(sys.orig_argv):
    try:
        Path("struck").touch(exist_ok=False)
    except FileExistsError:
        pass
    else:
        os.killpg(0, signal.SIGINT)
"""
"""Ctrl-C on a terminal, while the interpreter of the first worker starts."""

WHILE_LOCKED = """\
import os, signal, sys
from concurrent.futures import Future
from multiprocessing.context import SpawnProcess
def holds_lock(frame):
    of_frame = (one for one in frame.f_locals.values() if isinstance(one, Future))
    return any(hasattr(one, "_condition") and one._condition._is_owned() for one in of_frame)
def line(frame, event, arg):
    if event == "line" and holds_lock(frame):
        sys.settrace(None)
        os.kill(os.getpid(), signal.SIGTERM)
    return line
def call(frame, event, arg):
    return line if "concurrent/futures" in frame.f_code.co_filename else None
start = SpawnProcess.start
def watched(self):
    start(self)
    sys.settrace(call)
SpawnProcess.start = watched
"""
"""SIGTERM while the main thread holds the lock of a future, which the pool's own thread needs for its end."""


class Search:
    """In a folder and a process group of its own. site: what its interpreters do first."""

    def __init__(self, folder: Path, *words: object, site: str = "") -> None:
        self._mark = uuid4().hex
        self._said = folder / "said"
        (folder / "sitecustomize.py").write_text(site)
        own = {"XDG_STATE_HOME": str(folder / "state"), "PYTHONPATH": str(folder), MARK: self._mark}
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                [BMSIM, "scenario", "search", *map(str, words)],
                cwd=folder,
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    def end(self) -> int:
        """The exit code, when nothing of it is left."""
        code = self.process.wait(DEADLINE_S)
        eventually("no process is left", lambda: not processes(self._mark))
        return code

    def kill(self) -> None:
        for pid in processes(self._mark):
            os.kill(pid, signal.SIGKILL)
        self.process.wait(DEADLINE_S)


Start = Callable[..., Search]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a search through tiny stories, more than there is time for, by two workers."""
    started: list[Search] = []

    def begin(*words: object, seeds: str = f"1..{MORE_THAN_ARE_PLAYED}", site: str = "") -> Search:
        started.append(Search(tmp_path, "--seeds", seeds, "--jobs", 2, *TINY, *words, site=site))
        return started[-1]

    yield begin
    for search in started:
        search.kill()


def begun(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("begun-*")}


def passed(journal: Path) -> list[int]:
    """Seeds, in their order."""
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    assert {row["verdict"] for row in rows} <= {"pass"}
    return sorted(int(row["story"].rpartition(" ")[2]) for row in rows)


def two_are_played(folder: Path, search: Search) -> None:
    def both() -> bool:
        assert search.process.poll() is None, search.said
        return len(begun(folder)) == 2

    eventually("two stories are begun", both)


def test_a_search_that_was_terminated_goes_on_where_it_was(start: Start, tmp_path: Path) -> None:
    first = start("--resume", "journal", site=HELD)
    two_are_played(tmp_path, first)
    first.process.send_signal(signal.SIGTERM)
    eventually("it says that it ends", lambda: "ending:" in first.said)
    (tmp_path / "go").touch()
    assert first.end() == 143, first.said
    # What was being played then counts, and nothing else was begun.
    assert begun(tmp_path) == {"begun-1", "begun-2"}
    assert passed(tmp_path / "journal") == [1, 2]
    assert "2 pass in" in first.said
    left = MORE_THAN_ARE_PLAYED - 2
    assert f"interrupted, {left} were not played: the same command goes on" in first.said
    second = start("--resume", "journal", seeds="1..6")
    assert second.end() == 0, second.said
    assert "2 passed already, by the journal" in second.said
    assert "4 pass in" in second.said
    assert passed(tmp_path / "journal") == [1, 2, 3, 4, 5, 6]


def test_ctrl_c_while_workers_start_ends_it_without_a_traceback(start: Start, tmp_path: Path) -> None:
    search = start(site=WHILE_STARTED)
    assert search.end() == 130, search.said
    assert (tmp_path / "struck").exists()
    assert "interrupted" in search.said
    assert "with --resume FILE one can go on" in search.said
    assert "Traceback" not in search.said


def test_a_signal_in_the_middle_of_the_pools_own_work_ends_it(start: Start) -> None:
    """Raised there as an exception it left the lock taken, and the command waited for the pool for ever."""
    search = start(site=WHILE_LOCKED)
    assert search.end() == 143, search.said
    assert "interrupted" in search.said


def test_ctrl_c_once_more_ends_what_is_being_played(start: Start, tmp_path: Path) -> None:
    search = start("--resume", "journal", site=HELD)
    two_are_played(tmp_path, search)
    search.process.send_signal(signal.SIGINT)
    eventually("it says that it ends", lambda: "another Ctrl-C ends that too" in search.said)
    search.process.send_signal(signal.SIGINT)
    assert search.end() == 130, search.said
    assert f"interrupted, {MORE_THAN_ARE_PLAYED} were not played" in search.said
    assert passed(tmp_path / "journal") == []


def test_a_group_of_processes_that_is_terminated_broke_no_lab(start: Start, tmp_path: Path) -> None:
    """As timeout(1) and systemd do it: workers get the signal, too."""
    search = start(site=HELD)
    two_are_played(tmp_path, search)
    os.killpg(search.process.pid, signal.SIGTERM)
    assert search.end() == 143, search.said
    assert f"interrupted, {MORE_THAN_ARE_PLAYED} were not played" in search.said
    assert "the lab broke" not in search.said


def test_no_worker_outlives_a_command_that_is_killed(start: Start, tmp_path: Path) -> None:
    search = start(site=HELD)
    two_are_played(tmp_path, search)
    search.process.kill()
    assert search.end() == -signal.SIGKILL


def test_two_workers_find_what_one_finds(tmp_path: Path) -> None:
    found = []
    for jobs in (1, 2):
        folder = tmp_path / str(jobs)
        folder.mkdir()
        words = ("--seeds", "1..8", "--nodes", 1, "--strikes", 1, "--resume", "journal")
        search = Search(folder, *words, "--jobs", jobs, site=WITHOUT_WIPE)
        try:
            assert search.end() == 1, search.said
        finally:
            search.kill()
        rows = [json.loads(line) for line in (folder / "journal").read_text().splitlines()]
        verdicts = sorted((row["story"], row["verdict"]) for row in rows)
        traces = map(read_saved, (folder / "state/bmsim/traces").glob("*.jsonl"))
        found.append((verdicts, {trace.job.seed: trace.sha256 for trace in traces}))
        assert re.search(r"^(\d pass, )?\d fail in .* s, \d+ a minute$", search.said, re.MULTILINE)
    verdicts, traces = found[0]
    assert [story for story, _ in verdicts] == [f"random::model seed {seed}" for seed in range(1, 9)]
    assert {verdict for _, verdict in verdicts} == {"pass", "fail"}
    assert traces
    assert found[0] == found[1]
