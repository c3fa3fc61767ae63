"""A hook for a conftest.py: each scenario file below it is a test at each fidelity that it declares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from scenarios.runner.load import BadScenario, available_memory_mib, check_fits, read
from scenarios.runner.stage import Fidelity
from scenarios.runner.verdict import Played, Verdict

TRACES = "BMSIM_TRACES"
"""In the environment of a test run whose own state ends with it: a folder that stays, for traces."""


def traces_of_tests() -> Path:
    """Where the traces of stories that didn't pass are kept, so that they can be replayed after the run."""
    from scenarios.runner.cli import traces_folder

    return Path(os.environ.get(TRACES) or traces_folder())


class Failed(Exception):
    """The provisioner broke a promise."""

    def __init__(self, played: Played) -> None:
        self.played = played
        super().__init__(played.result.scenario)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".yaml":
        return ScenarioFile.from_parent(parent, path=file_path)
    return None


class ScenarioFile(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        try:
            one = read(self.path)
        except BadScenario as error:
            raise self.CollectError(str(error)) from error
        for fidelity in one.scenario.fidelities:
            yield ScenarioItem.from_parent(self, name=str(fidelity), fidelity=fidelity)


class ScenarioItem(pytest.Item):
    def __init__(self, *, fidelity: Fidelity, **rest: Any) -> None:
        super().__init__(**rest)
        self._fidelity = fidelity
        if fidelity is Fidelity.MACHINE:
            self.add_marker(pytest.mark.machine)

    def setup(self) -> None:
        """Plays it, so that a lab that broke is an error, and a promise that was broken is a failure."""
        from scenarios.runner.jobs import Job, play_job

        one = read(self.path)
        try:
            check_fits(one, self._fidelity, available_memory_mib())
        except BadScenario as error:
            _lab_broke(f"the lab can't play it, nothing is said about the provisioner: {error}")
        scenario = one.scenario
        job = Job(fidelity=self._fidelity, seed=scenario.seed, file=str(self.path), scenario=scenario)
        self._played = play_job(job, traces_of_tests())
        if self._played.result.verdict is Verdict.INFRA:
            from scenarios.runner.report import failure_text

            _lab_broke(failure_text(self._played))

    def runtest(self) -> None:
        if self._played.result.verdict is Verdict.FAIL:
            raise Failed(self._played)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **kwargs: Any) -> Any:
        if isinstance(excinfo.value, Failed):
            from scenarios.runner.report import failure_text

            return failure_text(excinfo.value.played)
        return super().repr_failure(excinfo, *args, **kwargs)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.path.parent.name}/{self.path.name}::{self.name}"


def _lab_broke(told: str) -> NoReturn:
    """An error of a test's setup: its words alone, without the code that found it out."""
    pytest.fail(told, pytrace=False)
