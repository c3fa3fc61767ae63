"""script/demo, script/test and script/benchmarks as people call them: from any folder, as any user."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

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


WITHOUT_SUDO = """
[ ! -e /usr/bin/sudo ] || mount --bind /dev/null /usr/bin/sudo
exec "$@"
"""


def call(
    project: Path, *words: str, user: int = 0, state: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """From a folder that isn't the project's, by a relative path. user: as the script sees itself; the test's
    files are root's to it all the same."""
    folder = project.parent
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "XDG_STATE_HOME": str(state or folder / "state"),
        **more,
    }
    script = f"../../{project.name}/script/{words[0]}"
    argv = ["unshare", "--mount", "sh", "-c", WITHOUT_SUDO, "sh"]
    argv += ["unshare", "--user", f"--map-user={user}", script, *words[1:]]
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


@pytest.mark.parametrize("script", ["demo", "test"])
def test_a_user_without_sudo_is_told_to_be_root(project: Path, script: str) -> None:
    (project.parent / "bin/sudo").unlink()
    done = call(project, script, user=1000)
    assert done.returncode == 69
    assert done.stderr.startswith(f"{script}: ")
    assert "root's to make, and there is no sudo here: run it as root" in done.stderr


@pytest.mark.parametrize(
    ("file", "code"),
    [("a rack.yaml", CODE), ("../where/a rack.yaml", CODE), ("no rack.yaml", 66)],
)
def test_a_rack_file_is_looked_for_where_the_demo_is_called(project: Path, file: str, code: int) -> None:
    done = call(project, "demo", "--rack", file)
    assert done.returncode == code, done.stderr
    assert code == CODE or f"there is no rack file {project.parent}/else/where/{file}" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 1, "benchmarks: goals were missed by slow"),
        (("quick",), 0, "benchmarks: all goals were met"),
        (("mystery",), 2, "mystery has no goals; these have: quick slow"),
    ],
)
def test_benchmarks_are_run_that_have_goals_and_it_is_told_whose_are_missed(
    project: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    _have_benchmarks(project, ["quick", "slow"], '[ "$2" != tests.benchmarks.slow ]')
    done = call(project, "benchmarks", *words)
    assert done.returncode == code, done.stderr
    assert told in done.stdout + done.stderr
    expected = {(): ["quick", "slow"], ("quick",): ["quick"]}.get(words, [])
    assert _ran(done.stdout) == [f"{name} --check 1" for name in expected]


@pytest.mark.parametrize(("misses", "code"), [(0, 0), (1, 0), (2, 0), (3, 1)])
def test_in_the_suite_what_misses_a_goal_is_played_up_to_twice_more(
    project: Path, misses: int, code: int
) -> None:
    """By a machine that may be half as fast."""
    names = ["ec2", "placement", "pdu", "ironic", "failover"]
    tried = project / "tried"
    answer = (
        f'[ "$2" != tests.benchmarks.pdu ] || {{ echo >> "{tried}"; [ $(wc -l < "{tried}") -gt {misses} ]; }}'
    )
    _have_benchmarks(project, [*names, "of_machines"], answer)
    done = call(project, "benchmarks", "--in-suite")
    assert done.returncode == code, done.stderr
    ran = _ran(done.stdout)
    assert list(dict.fromkeys(line.split()[0] for line in ran)) == names
    assert all(line.endswith(" --check 2") for line in ran)
    assert [line.split()[0] for line in ran].count("pdu") == min(misses, 2) + 1
    assert len(ran) == len(names) + min(misses, 2)
    assert ("goals were missed by pdu" in done.stderr) is bool(code)


def _have_benchmarks(project: Path, names: list[str], answer: str) -> None:
    """With goals, beside one that has none. answer: what a run of one ends by, of which $2 is the module."""
    folder = project / "tests/benchmarks"
    folder.mkdir(parents=True)
    for name in (*names, "goals"):
        (folder / f"{name}.py").write_text("offer_check(it)")
    (folder / "plain.py").touch()
    (project / ".venv").mkdir()
    _program(project / ".venv/bin/python", f'#!/bin/sh\necho "$@"\n{answer}\n')


def _ran(told: str) -> list[str]:
    """What follows `-m tests.benchmarks.`"""
    start = "-m tests.benchmarks."
    return [line.removeprefix(start) for line in told.splitlines() if line.startswith(start)]


@pytest.mark.parametrize("script", ["demo", "test"])
def test_root_leaves_no_bytecode_beside_the_sources(project: Path, script: str) -> None:
    done = call(project, script)
    assert done.returncode == CODE, done.stderr
    assert list(project.rglob("__pycache__")) == []
    assert list((project.parent / "home/.cache/provisioner/bytecode").rglob("package.*.pyc"))


IMAGE = {
    "name": "debian",
    "arch": "x86_64",
    "kind": "disk",
    "image_format": "raw",
    "image": "x",
    "login_user": "me",
}
PYTHON = f"""#!/bin/sh
[ "$2" = fixtures.images ] || exec "{sys.executable}" "$@"
echo '{json.dumps(IMAGE)}'
"""
BMSIM = """#!/bin/sh
case "$2 $*" in
    inventory*) echo 'nodes: [{name: n1}]' ;;
    log*) echo chassis.power.on ;;
    exec*ssh*)
        while [ "$1" != ssh ]; do shift; done
        exec ssh -G "$2" "$3" "$4" ;;
esac
"""
PROVISIONER = """#!/bin/sh
[ "$1 $2" != "instance show" ] || echo '{"address": "10.77.0.100"}'
"""
RACK = """\
networks: {provisioning: {subnet: 10.77.0.0/24}}
compute_hosts: [{name: ch1, provisioning_address: 10.77.0.10}]
"""
SHOW = """
printf '%s\\n' "$BMSIM_STATE" "$PROVISIONER_URL" "$PROVISIONER_TOKEN_FILE"
"""


@pytest.mark.parametrize("sudo_user", ["", "me"])
def test_the_demo_bears_spaces_in_its_paths_and_prints_what_can_be_typed(
    project: Path, sudo_user: str
) -> None:
    """sudo_user: who became root by sudo; for one who is root, there is none."""
    (project / ".venv").mkdir()
    for name, text in (("python", PYTHON), ("bmsim", BMSIM), ("provisioner", PROVISIONER)):
        _program(project / ".venv/bin" / name, text)
    (project / "package.py").write_text("CODE = 0\n")
    (project.parent / "else/where/a rack.yaml").write_text(RACK)
    home = project.parent / "a home"
    done = call(project, "demo", "--keep", "--rack", "a rack.yaml", state=home, SUDO_USER=sudo_user)
    assert done.returncode == 0, done.stderr
    state = home / "provisioner-demo"
    # What OpenSSH itself makes of it.
    assert f"identityfile {state}/key\n" in done.stdout
    assert f"userknownhostsfile {state}/known_hosts\n" in done.stdout
    settings = yaml.safe_load((state / "provisioner.yaml").read_text())
    assert settings["state_dir"] == f"{state}/provisioner"
    printed = done.stdout.partition("Look around:\n\n")[2].splitlines()
    assert (printed[0] == "    sudo -s") == bool(sudo_user)
    assert printed[1 if sudo_user else 0].startswith("    export ")
    console = done.stdout.partition("from another terminal:\n  ")[2].splitlines()[0]
    assert console.startswith("sudo env PROVISIONER_URL=" if sudo_user else "PROVISIONER_URL=")
    assert console.endswith(" .venv/bin/provisioner instance console web --follow")
    exports = "\n".join(line for line in printed if "export " in line)
    typed = subprocess.run(["bash", "-euc", exports + SHOW], capture_output=True, text=True, check=True)
    names = (f"{state}/racks", f"unix:{state}/api.sock", f"{state}/provisioner/admin.token")
    assert typed.stdout.splitlines() == list(names)
    assert f"script/demo --rack '{project.parent}/else/where/a rack.yaml'" in done.stdout
    assert f"-- ssh -F '{state}/ssh_config' 10.77.0.100" in done.stdout


def test_the_demo_tells_how_it_is_used_wherever_it_is_called_from(project: Path) -> None:
    done = call(project, "demo", "--loudly")
    assert done.returncode == 64
    assert "script/demo [--keep]" in done.stderr
    assert "fixtures/racks/first-light.yaml" in done.stderr


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (("failover", "--keep"), "--keep doesn't go with failover"),
        (("--image", "tiny", "failover"), "--image doesn't go with failover"),
        (("failover", "--rack", "a rack.yaml"), "--rack doesn't go with failover"),
        (("failover", "--down"), "--down doesn't go with failover"),
        (("mixed", "failover"), "mixed doesn't go with failover"),
        (("mixed", "--image", "tiny"), "--image doesn't go with mixed"),
        (("--rack", "a rack.yaml", "mixed"), "--rack doesn't go with mixed"),
    ],
)
def test_the_demo_refuses_what_would_change_nothing(
    project: Path, words: tuple[str, ...], refused: str
) -> None:
    done = call(project, "demo", *words)
    assert done.returncode == 64, done.stderr
    assert refused in done.stderr
    assert "leave it out" in done.stderr


PLAYED = "#!/bin/sh\necho played: $PROVISIONER_RUN, $*\n"
NOTED = '#!/bin/sh\ntouch "$2"\necho leftovers: $PROVISIONER_RUN, $1\n'


@pytest.mark.parametrize("code", [0, 1])
def test_what_two_hosts_leave_behind_is_looked_for_however_their_story_ends(project: Path, code: int) -> None:
    (project / ".venv").mkdir()
    bmsim = f"{PLAYED}exit {code}\n"
    for name, text in (("python", PYTHON), ("bmsim", bmsim), ("provisioner", PROVISIONER)):
        _program(project / ".venv/bin" / name, text)
    _program(project / "script/leftovers", NOTED)
    done = call(project, "demo", "failover")
    assert done.returncode == code, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith(("played", "leftovers"))]
    run = told[0].removeprefix("leftovers: ").partition(",")[0]
    assert run.startswith("demo.")
    assert told == [
        f"leftovers: {run}, note",
        f"played: {run}, scenario run fixtures/demo/failover.yaml --watch",
        f"leftovers: {run}, check",
    ]
    assert list((project.parent / "state").iterdir()) == []
    assert code == 0 or done.stderr.endswith("demo: failed. Replay it: script/demo failover\n")
