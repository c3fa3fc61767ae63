"""A run of tests that is interrupted goes on where it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.resuming import ROOT, project_sha256

pytestmark = pytest.mark.wire

TESTS = """
import os
import pytest

def test_one():
    pass

def test_two():
    assert "WELL" in os.environ

@pytest.fixture
def breaks():
    yield
    assert "WELL" in os.environ

def test_three(breaks):
    pass

def test_five():
    if "WELL" not in os.environ:
        os._exit(1)

def test_four():
    if "WELL" not in os.environ:
        pytest.skip("not here")
"""


def run(folder: Path, *words: str, well: bool) -> tuple[int, str]:
    """Exit code, and the last line."""
    (folder / "test_some.py").write_text(TESTS)
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--rootdir",
        folder,
        "-c",
        os.devnull,
        "-n",
        "1",
    ]
    argv += ["-p", "no:cacheprovider", "-p", "tests.resuming", "--resume", folder / "notes/passed", folder]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **({"WELL": "1"} if well else {})}
    done = subprocess.run(
        [*argv, *words], cwd=folder, env=environ, capture_output=True, text=True, timeout=120
    )
    return done.returncode, (done.stdout.splitlines() or [done.stderr])[-1]


def test_what_passed_with_this_code_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/passed").write_text(f"{'0' * 64} test_some.py::test_two\n")
    code, told = run(tmp_path, well=False)
    assert code == pytest.ExitCode.TESTS_FAILED
    assert told.startswith("2 failed, 2 passed, 1 skipped, 1 error in"), "a worker that died is replaced"
    code, told = run(tmp_path, well=True)
    assert code == pytest.ExitCode.OK
    assert told.startswith("4 passed in")
    code, told = run(tmp_path, well=False)
    assert code == pytest.ExitCode.OK
    assert "passed" not in told and "failed" not in told
    code, told = run(tmp_path, "-k", "nothing_is_called_so", well=True)
    assert code == pytest.ExitCode.NO_TESTS_COLLECTED


def test_any_file_makes_the_code_another(tmp_path: Path) -> None:
    for folder in ("bmsim/__pycache__", ".git", "script"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "script/setup").write_text("set -e")
    before = project_sha256(tmp_path)
    (tmp_path / "bmsim/__pycache__/made.pyc").write_text("compiled")
    (tmp_path / ".git/index").write_text("what is staged")
    assert project_sha256(tmp_path) == before
    (tmp_path / "script/setup").write_text("set +e")
    assert project_sha256(tmp_path) != before
