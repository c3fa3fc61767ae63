"""Many stories at a time, a worker process for each core."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path

from scenarios.runner.jobs import Job, play_job
from scenarios.runner.load import BadScenario
from scenarios.runner.played_code import code_sha256
from scenarios.runner.stage import LabTrouble
from scenarios.runner.trace import Trace
from scenarios.runner.verdict import Played, Result, Verdict

PR_SET_PDEATHSIG = 1  # linux/prctl.h

AHEAD = 4
"""Jobs handed out for each worker: none is ever idle, and stopping loses little."""


def play_all(
    jobs: Iterable[Job],
    *,
    workers: int,
    traces: Path,
    keep_traces: bool,
    stop: Callable[[Played], bool],
) -> Iterator[tuple[Job, Played]]:
    """As they end. keep_traces: those of stories that passed come too; else theirs are empty. stop: whether
    nothing more is to be begun after this one. Raises LabTrouble when a worker dies."""
    waiting = iter(jobs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_die_with, initargs=(os.getpid(),)) as pool:
        running: dict[Future[Played], Job] = {}
        stopped = False
        try:
            while True:
                if not stopped:
                    for job in islice(waiting, workers * AHEAD - len(running)):
                        running[pool.submit(_work, job, traces, keep_traces)] = job
                if not running:
                    return
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    played = future.result()
                    job = running.pop(future)
                    stopped = stopped or stop(played)
                    yield job, played
                if stopped:
                    running = {future: job for future, job in running.items() if not future.cancel()}
        except BrokenProcessPool as error:
            names = ", ".join(job.label for job in running.values())
            raise LabTrouble(f"a worker process died, while these were played: {names}") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _die_with(parent: int) -> None:
    """Workers end with the command, however that ends. prctl(2): one that lost its parent before it asked
    is told nothing."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    # Ctrl-C on a terminal goes to all of them: the command answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(job: Job, traces: Path, keep_trace: bool) -> Played:
    try:
        played = play_job(job, traces)
    except Exception:  # noqa: BLE001  # a defect of the lab: the search goes on, and tells it
        return Played(result=_broken(job, traceback.format_exc()), trace=Trace())
    if played.result.verdict is Verdict.PASS and not keep_trace:
        return Played(result=played.result, trace=Trace())
    return Played(result=played.result, trace=_bare(played.trace))


def _broken(job: Job, trouble: str) -> Result:
    return Result(
        scenario=job.name,
        file=job.file,
        fidelity=str(job.fidelity),
        seed=job.seed,
        verdict=Verdict.INFRA,
        trouble=trouble,
        replay=job.command,
    )


def _bare(trace: Trace) -> Trace:
    """Without its listeners, which stay in the worker."""
    bare = Trace()
    for event in trace:
        bare.add(event)
    return bare


class Journal:
    """What passed already, so that a search goes on where it was interrupted. A file of lines of JSON.

    What other code passed says nothing about this one: outdated is the number of such lines.
    """

    def __init__(self, path: Path) -> None:
        self.outdated = 0
        self._path = path
        self._code = code_sha256()
        self._passed: set[str] = set()
        try:
            with path.open("a+") as file:
                file.seek(0)
                known = file.read()
        except (OSError, UnicodeDecodeError) as error:
            answer = error.strerror if isinstance(error, OSError) else "it is no text"
            told = f"{path} can't be the journal of --resume: {answer}; name one that is, or a new file"
            raise BadScenario(told) from error
        for number, line in enumerate(known.splitlines(), 1):
            self._remember(number, line)

    def _remember(self, number: int, line: str) -> None:
        try:
            row = json.loads(line)
            if row["verdict"] != Verdict.PASS:
                return
            if row["code"] == self._code:
                self._passed.add(row["key"])
            else:
                self.outdated += 1
        except (ValueError, KeyError, TypeError) as error:
            raise BadScenario(f"{self._path}:{number}: no line of a journal of --resume: {error}") from error

    def __contains__(self, job: Job) -> bool:
        return job.key in self._passed

    def add(self, job: Job, result: Result) -> None:
        row = {"key": job.key, "story": job.label, "verdict": str(result.verdict), "code": self._code}
        with self._path.open("a") as file:
            file.write(json.dumps(row, sort_keys=True) + "\n")
