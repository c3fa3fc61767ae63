"""What a failure prints to see it again works as it is printed, in a shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.runner.jobs import Job, play_job
from scenarios.runner.saved import read_saved
from scenarios.runner.stage import Fidelity
from scenarios.runner.verdict import Verdict
from tests.unit.scenarios.files import SOUND, scenario, written

pytestmark = pytest.mark.wire

DEADLINE_S = 120
WITHOUT_WIPE = """\
from dataclasses import replace
from provisioner.core.plan import PLANS
clean = PLANS["clean"]
PLANS["clean"] = replace(clean, steps=tuple(step for step in clean.steps if step.name != "wipe"))
"""
"""Breaks the provisioner in each interpreter that finds this as its sitecustomize."""

WRONG = SOUND.replace("state: active", "state: available")
MADE_UP = Job(fidelity=Fidelity.MODEL, seed=3, nodes=2, strikes=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Has a blank in its name, as a home may have."""
    made = tmp_path / "my stories"
    made.mkdir()
    return made


def shell(command: str, folder: Path, *, broken: bool = False) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    if broken:
        (folder / "sitecustomize.py").write_text(WITHOUT_WIPE)
        env["PYTHONPATH"] = str(folder)
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def traces(folder: Path) -> list[Path]:
    return list((folder / "state/bmsim/traces").glob("*.jsonl"))


def kept(folder: Path) -> dict[str, str]:
    """Hashes of the traces that failures left, by the names of their stories."""
    return {saved.job.name: saved.sha256 for saved in map(read_saved, traces(folder))}


def printed(verb: str, said: str) -> str:
    found = re.search(rf"^{verb}: (bmsim .+)$", said, re.MULTILINE)
    assert found is not None, said
    return found[1]


def test_a_story_of_a_file_fails_again_by_its_command(folder: Path) -> None:
    path = written(folder, WRONG, "wrong story.yaml")
    job = Job(fidelity=Fidelity.MODEL, seed=5, file=path.name, scenario=scenario(folder, WRONG))
    first = play_job(job, None).result
    assert first.verdict is Verdict.FAIL
    again = shell(first.replay, folder)
    assert again.returncode == 1, again.stdout + again.stderr
    assert kept(folder) == {"a-story": first.trace_sha256}


def test_a_story_that_a_seed_made_up_fails_again_by_its_command(folder: Path) -> None:
    first = shell(MADE_UP.command, folder, broken=True)
    assert first.returncode == 1, first.stdout + first.stderr
    before = kept(folder)
    assert list(before) == [MADE_UP.name]
    again = shell(printed("replay", first.stdout), folder, broken=True)
    assert again.returncode == 1, again.stdout + again.stderr
    assert "wiped_before_offered" in again.stdout
    assert "every event is the same as then" in again.stdout
    # The seed alone is enough, where no trace is kept.
    assert play_job(MADE_UP, None).result.replay == MADE_UP.command
    for trace in traces(folder):
        trace.unlink()
    assert shell(MADE_UP.command, folder, broken=True).returncode == 1
    assert kept(folder) == before


def test_the_file_that_keeps_a_failure_fails_in_the_same_way(folder: Path) -> None:
    first = shell(MADE_UP.command, folder, broken=True)
    keep = printed("keep", first.stdout).replace("FILE", "kept-story.yaml")
    recorded = shell(keep.replace("'…'", "'what nobody thought of'"), folder)
    assert recorded.returncode == 0, recorded.stdout + recorded.stderr
    again = shell(recorded.stdout.partition("play it by: ")[2], folder, broken=True)
    assert again.returncode == 1, again.stdout + again.stderr
    hashes = kept(folder)
    assert hashes["kept-story"] == hashes[MADE_UP.name]
