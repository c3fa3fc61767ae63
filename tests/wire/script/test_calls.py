"""script/demo and script/test as people call them: from any folder, as any user."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.wire

SCRIPT = Path(__file__).resolve().parents[3] / "script"
SUDO = '#!/bin/sh\nprintf "%s\\n" "$PWD" "$@"\n'
LEFTOVERS = """#!/usr/bin/env python3
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import package
sys.exit(package.CODE)
"""
CODE = 33
"""With this one the script ends at the first thing that it does as root."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout that is set up, of a user who may use sudo."""
    project = tmp_path / "project"
    shutil.copytree(SCRIPT, project / "script")
    _program(project / "script/setup", "#!/bin/sh\n")
    _program(project / "script/leftovers", LEFTOVERS)
    _program(tmp_path / "bin/sudo", SUDO)
    (project / "package.py").write_text(f"CODE = {CODE}\n")
    (tmp_path / "else/where").mkdir(parents=True)
    (tmp_path / "else/where/a rack.yaml").touch()
    return project


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def call(project: Path, *words: str, user: int = 0) -> subprocess.CompletedProcess[str]:
    """From a folder that isn't the project's, by a relative path. user: as the script sees itself; the test's
    files are root's to it all the same."""
    folder = project.parent
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    script = f"../../{project.name}/script/{words[0]}"
    argv = ["unshare", "--user", f"--map-user={user}", script, *words[1:]]
    return subprocess.run(
        argv,
        cwd=folder / "else/where",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("demo",),
        ("demo", "mixed", "--keep"),
        ("demo", "--rack", "a rack.yaml"),
        ("test",),
        ("test", "--fast", "-k", "a or b"),
    ],
)
def test_a_user_becomes_root_by_the_same_script_wherever_it_is_called_from(
    project: Path, words: tuple[str, ...]
) -> None:
    done = call(project, *words, user=1000)
    assert done.returncode == 0, done.stderr
    folder, script, *arguments = done.stdout.splitlines()
    assert (Path(folder) / script).resolve() == project / "script" / words[0]
    assert arguments == list(words[1:])
    # What is relative in them means the same to root.
    assert "--rack" not in words or (Path(folder) / arguments[-1]).exists()


@pytest.mark.parametrize(
    ("file", "code"),
    [("a rack.yaml", CODE), ("../where/a rack.yaml", CODE), ("no rack.yaml", 66)],
)
def test_a_rack_file_is_looked_for_where_the_demo_is_called(project: Path, file: str, code: int) -> None:
    done = call(project, "demo", "--rack", file)
    assert done.returncode == code, done.stderr
    assert code == CODE or f"there is no rack file {project.parent}/else/where/{file}" in done.stderr


@pytest.mark.parametrize("script", ["demo", "test"])
def test_root_leaves_no_bytecode_beside_the_sources(project: Path, script: str) -> None:
    done = call(project, script)
    assert done.returncode == CODE, done.stderr
    assert list(project.rglob("__pycache__")) == []
    assert list((project.parent / "home/.cache/provisioner/bytecode").rglob("package.*.pyc"))


def test_the_demo_tells_how_it_is_used_wherever_it_is_called_from(project: Path) -> None:
    done = call(project, "demo", "--loudly")
    assert done.returncode == 64
    assert "script/demo [--keep]" in done.stderr
    assert "fixtures/racks/first-light.yaml" in done.stderr
