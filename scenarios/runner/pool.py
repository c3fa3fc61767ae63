"""Many stories at a time, a worker process for each core."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import ClassVar

from scenarios.runner.interruption import SIGNALS, Interruption
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
    stop: Callable[[], bool],
    interruption: Interruption,
) -> Iterator[tuple[Job, Played]]:
    """As they end. keep_traces: those of stories that passed come too; else theirs are empty. stop: whether
    nothing more is to be begun, asked before each is and when the interruption comes; what is being played
    comes to its end, unless that is urgent. Raises LabTrouble when a worker dies, unless all were to end."""
    waiting = iter(jobs)
    context = multiprocessing.get_context("spawn")
    # Read by workers without a lock, which one that died would never release.
    stopped = context.RawValue(ctypes.c_bool, False)
    ended: SimpleQueue[Future[Played | None] | None] = SimpleQueue()
    interruption.tell(lambda: ended.put(None))
    with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(os.getpid(), stopped)) as pool:
        running: dict[Future[Played | None], Job] = {}
        try:
            while True:
                stopped.value = stopped.value or stop()
                if not stopped.value:
                    for job in islice(waiting, workers * AHEAD - len(running)):
                        with _unheard():
                            future = pool.submit(_work, job, traces, keep_traces)
                        running[future] = job
                        future.add_done_callback(ended.put)
                if not running:
                    return
                one = ended.get()
                if one is None:
                    if interruption.urgent:
                        _kill_workers()
                    continue
                played = one.result()
                job = running.pop(one)
                if played is not None:
                    yield job, played
        except BrokenProcessPool as error:
            # Whoever ends a group of processes ends workers too.
            if interruption.number:
                return
            names = ", ".join(job.label for job in running.values())
            raise LabTrouble(f"a worker process died, while these were played: {names}") from error
        finally:
            stopped.value = True
            pool.shutdown(cancel_futures=True)


def _kill_workers() -> None:
    for worker in multiprocessing.active_children():
        worker.kill()


@contextmanager
def _unheard() -> Iterator[None]:
    """Signals wait meanwhile, and so they do in a process that is started, until it says otherwise."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Worker:
    """Of this process, if it is one."""

    stopped: ClassVar[ctypes.c_bool]


def _begin(parent: int, stopped: ctypes.c_bool) -> None:
    """In a worker, before its first story."""
    _die_with(parent)
    # Ctrl-C on a terminal goes to all of them: the command answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    _Worker.stopped = stopped


def _die_with(parent: int) -> None:
    """Workers end with the command, however that ends. prctl(2): one that lost its parent before it asked
    is told nothing."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _work(job: Job, traces: Path, keep_trace: bool) -> Played | None:
    """None: it wasn't begun. The pool hands more to workers than they play at a time, and can't take it
    back."""
    if _Worker.stopped.value:
        return None
    try:
        played = play_job(job, traces)
    except BaseException:  # noqa: BLE001  # a defect of the lab: the search goes on, and tells it
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
            told = f"{self._path}:{number}: no line of a journal of --resume: {error}"
            raise BadScenario(f"{told}; remove it, and what it told is played again") from error

    def __contains__(self, job: Job) -> bool:
        return job.key in self._passed

    def add(self, job: Job, result: Result) -> None:
        """Raises LabTrouble."""
        row = {"key": job.key, "story": job.label, "verdict": str(result.verdict), "code": self._code}
        try:
            with self._path.open("a") as file:
                file.write(json.dumps(row, sort_keys=True) + "\n")
        except OSError as error:
            raise LabTrouble(f"{self._path} can't be written: {error.strerror}") from error
