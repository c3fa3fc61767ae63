"""A run of many stories that comes to an early end tells what it knows by then."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scenarios.runner import campaign, pool
from scenarios.runner.campaign import Campaign, Reports
from scenarios.runner.jobs import Job
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
    ended = Campaign(Console(file=said, width=200), tmp_path, 1, False, None, reports).play(JOBS)
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
    told = pool.play_all(JOBS[:1], workers=1, traces=tmp_path, keep_traces=False, stop=lambda one: False)
    with pytest.raises(LabTrouble, match="while these were played: random::model seed 1"):
        list(told)
