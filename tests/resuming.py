"""Runs of hours that may be interrupted: `--resume FILE` notes there what passed, and leaves it out then,
as long as nothing of the project has changed.

One line for each test: the project's sha256, and the test's id."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CACHES = (".hypothesis", ".import_linter_cache", ".mypy_cache", ".ruff_cache", "__pycache__")
NOT_OURS = (*CACHES, ".git", ".venv")
PASSED, LEFT_OUT = "resuming_passed", "resuming_left_out"
"""What the controller of several workers hands to each, and what one hands back."""


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "Leave out what has passed with the same code, as this file tells, and note there what passes."
    parser.addoption("--resume", type=Path, metavar="FILE", help=told)


def pytest_configure(config: pytest.Config) -> None:
    file: Path | None = config.getoption("--resume")
    if file is None:
        return
    work: dict[str, Any] | None = getattr(config, "workerinput", None)
    if work is not None:
        config.pluginmanager.register(LeavingOut(set(work[PASSED])))
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    profile = config.getoption("--hypothesis-profile", None)  # how many examples are looked at
    noting = Noting(file, f"{project_sha256(ROOT)}{f'-{profile}' if profile else ''}")
    config.pluginmanager.register(noting)
    if not config.getoption("numprocesses", None):
        config.pluginmanager.register(LeavingOut(noting.passed))


def project_sha256(root: Path) -> str:
    """Of all its files: tests read scripts and documents as well."""
    found = hashlib.sha256()
    for path in sorted(_files(root)):
        found.update(f"{path.relative_to(root)} {path.stat().st_size}\n".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    for folder, inner, names in os.walk(root):
        inner[:] = [name for name in inner if name not in NOT_OURS and not name.endswith(".egg-info")]
        yield from (path for name in names if (path := Path(folder, name)).is_file())


class LeavingOut:
    """Where tests are collected. A worker is told what to leave out: one that takes the place of another has
    to collect the same, whatever has passed since."""

    def __init__(self, passed: set[str]) -> None:
        self._passed = passed
        self._left_out = 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        left_out = [item for item in items if item.nodeid in self._passed]
        self._left_out = len(left_out)
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item.nodeid not in self._passed]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[LEFT_OUT] = self._left_out
        elif self._left_out:
            _nothing_left(session, exitstatus)


class Noting:
    """Where tests are reported."""

    def __init__(self, file: Path, code: str) -> None:
        self.passed = set(_noted(file, code))
        self._file = file
        self._code = code
        self._not_well: set[str] = set()
        self._left_out = 0

    def pytest_report_header(self) -> str:
        return f"resume: {len(self.passed)} tests have passed with this code, as {self._file} tells"

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[PASSED] = sorted(self.passed)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        self._left_out += getattr(node, "workeroutput", {}).get(LEFT_OUT, 0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self._not_well.add(report.nodeid)
        elif report.when == "teardown" and report.nodeid not in self._not_well:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{self._code} {report.nodeid}\n")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self._left_out:
            _nothing_left(session, exitstatus)


def _nothing_left(session: pytest.Session, exitstatus: int) -> None:
    """That no test is left to be run is no failure then."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


def _noted(file: Path, code: str) -> Iterator[str]:
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            of, _, test = line.partition(" ")
            if of == code:
                yield test
