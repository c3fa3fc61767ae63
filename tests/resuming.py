"""Runs of hours that may be interrupted: `--resume FILE` notes there what passed, and leaves it out then,
as long as all code is the same.

One line for each test: the code's sha256, and its id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bmsim", "fixtures", "provisioner", "scenarios", "tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "Leave out what has passed with the same code, as this file tells, and note there what passes."
    parser.addoption("--resume", type=Path, metavar="FILE", help=told)


def pytest_configure(config: pytest.Config) -> None:
    file: Path | None = config.getoption("--resume")
    if file is not None:
        config.pluginmanager.register(
            Resuming(file, code_sha256(ROOT), notes=not hasattr(config, "workerinput"))
        )


def code_sha256(root: Path) -> str:
    """Of all that tests are made of, with what they play."""
    found = hashlib.sha256()
    for path in sorted(path for package in PACKAGES for path in _files(root / package)):
        found.update(f"{path.relative_to(root)} {path.stat().st_size}\n".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def _files(package: Path) -> Iterator[Path]:
    return (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


class Resuming:
    """notes: off in a worker, whose master hears of all tests."""

    def __init__(self, file: Path, code: str, *, notes: bool) -> None:
        self._file = file
        self._code = code
        self._notes = notes
        self._passed = set(self._read())
        self._not_well: set[str] = set()

    def pytest_report_header(self) -> str:
        return f"resume: {len(self._passed)} tests have passed with this code, as {self._file} tells"

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        left_out = [item for item in items if item.nodeid in self._passed]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item.nodeid not in self._passed]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self._not_well.add(report.nodeid)
        elif report.when == "teardown" and report.nodeid not in self._not_well and self._notes:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{self._code} {report.nodeid}\n")

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._passed:
            session.exitstatus = pytest.ExitCode.OK

    def _read(self) -> Iterator[str]:
        if self._file.exists():
            for line in self._file.read_text(encoding="utf-8").splitlines():
                code, _, test = line.partition(" ")
                if code == self._code:
                    yield test
