from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.runner.collect import TRACES
from tests.wire.scenarios.test_command import DEADLINE_S, STORY, story

pytestmark = pytest.mark.wire

CONFTEST = "from scenarios.runner.collect import pytest_collect_file\n"


def run_pytest(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = machine: boots machines\n")
    inherited = {name: value for name, value in os.environ.items() if name != TRACES}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "--strict-markers", *words],
        cwd=folder,
        env={**inherited, "XDG_STATE_HOME": str(folder / "state"), "PYTEST_ADDOPTS": "", **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def test_scenarios_pass_fail_or_are_errors_of_the_lab(tmp_path: Path) -> None:
    story(tmp_path, "good")
    story(tmp_path, "bad", state="available")
    story(tmp_path, "unstruck").write_text(
        STORY.format(name="unstruck", state="active").replace("step: power_on", "event: tftp.refused")
    )
    ran = run_pytest(tmp_path).stdout
    assert "PASSED good.yaml::model" in ran
    assert "FAILED bad.yaml::model" in ran
    assert "node n1 is active, not available" in ran
    assert "bmsim scenario replay" in ran
    assert "ERROR unstruck.yaml::model" in ran
    assert "bmc.busy at n1 never changed anything" in ran
    assert "1 failed, 1 passed, 1 error" in ran


def test_what_replays_a_failure_outlives_the_state_of_its_run(tmp_path: Path) -> None:
    story(tmp_path, "bad", state="available")
    ran = run_pytest(tmp_path, **{TRACES: str(tmp_path / "kept")}).stdout
    (kept,) = (tmp_path / "kept").iterdir()
    assert f"bmsim scenario replay {kept}" in ran
    assert not (tmp_path / "state").exists()


def test_each_declared_fidelity_is_a_test_and_machines_are_marked(tmp_path: Path) -> None:
    path = story(tmp_path, "both")
    path.write_text(path.read_text().replace("rack:", "fidelities: [model, machine]\nrack:"))
    every = run_pytest(tmp_path, "--collect-only", "-q").stdout
    assert "both.yaml::model" in every
    assert "both.yaml::machine" in every
    fast = run_pytest(tmp_path, "--collect-only", "-q", "-m", "not machine").stdout
    assert "both.yaml::model" in fast
    assert "both.yaml::machine" not in fast


def test_a_wrong_file_is_an_error_of_its_collection(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("name: wrong\n")
    ran = run_pytest(tmp_path).stdout
    assert "wrong.yaml:1: why: Field required" in ran
    assert "1 error" in ran
