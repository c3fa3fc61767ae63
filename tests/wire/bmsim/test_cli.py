"""The command `bmsim`: what it prints, and the exit codes that scripts rely on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from bmsim.backends.accelerator import accelerator
from bmsim.rack.state import RackState
from tests.wire.bmsim.conftest import BMC_PASSWORD, rack_file

pytestmark = [pytest.mark.wire, pytest.mark.rack]

Done = subprocess.CompletedProcess[str]
DEADLINE_S = 60


class Bmsim:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str, user: int | None = None, **more: str) -> Done:
        argv, environment = self._command(*words), self._environment(more)
        return subprocess.run(argv, capture_output=True, text=True, env=environment, user=user, check=False)

    def started(self, *words: str) -> subprocess.Popen[str]:
        """In the background, its output to be read; `DEADLINE_S` is how long it may take to end."""
        return subprocess.Popen(
            ["timeout", str(DEADLINE_S), *self._command(*words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment({}),
        )

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "bmsim", "rack", *words]

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {**os.environ, "BMSIM_STATE": str(self.folder), "NO_COLOR": "1", "COLUMNS": "80", **more}

    def json(self, *words: str) -> object:
        done = self(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def bmsim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bmsim]:
    """The command, with one rack that it has brought up."""
    folder = tmp_path_factory.mktemp("cli")
    file = folder / "rack.yaml"
    file.write_text(yaml.safe_dump(dict(rack_file("first"))))
    bmsim = Bmsim(folder / "racks")
    done = bmsim("up", str(file))
    assert done.returncode == 0, done.stderr
    assert "rack first is up" in done.stdout
    assert f", on {accelerator()}" in done.stdout
    yield bmsim
    assert bmsim("down").returncode == 0
    assert "no racks" in bmsim("ls").stdout


def test_racks_are_listed_with_their_condition(bmsim: Bmsim) -> None:
    state = str(bmsim.folder / "first")
    assert bmsim.json("ls") == [
        {"name": "first", "up": True, "nodes": 1, "compute_hosts": ["ch1", "ch2"], "state": state}
    ]
    assert state in bmsim("ls").stdout


def test_a_rack_is_shown_without_its_passwords(bmsim: Bmsim) -> None:
    shown = bmsim("show")
    assert "52:54:00:77:00:01" in shown.stdout
    assert "10.78.0.101" in shown.stdout
    assert BMC_PASSWORD not in shown.stdout + json.dumps(bmsim.json("show"))


def test_a_rack_may_be_named_by_argument_or_by_option(bmsim: Bmsim) -> None:
    assert bmsim("inventory", "first").stdout == bmsim("inventory", "--rack", "first").stdout != ""
    assert yaml.safe_load(bmsim("inventory").stdout) == bmsim.json("inventory")


def test_a_refusal_is_told_as_it_is_brackets_and_all(bmsim: Bmsim, tmp_path: Path) -> None:
    for words in (("up", str(bmsim.folder.parent / "rack.yaml"), "--name", "No_name"), ("down", "a[b]c")):
        told = bmsim(*words)
        assert told.returncode != 0
        assert ("[a-z]" if words[0] == "up" else "a[b]c") in told.stderr


def test_another_state_folder_has_other_racks(bmsim: Bmsim, tmp_path: Path) -> None:
    assert "no racks" in bmsim("ls", "--state", str(tmp_path)).stdout


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["show", "second"], 3, "no rack second (racks here: first)"),
        (["console", "n9"], 3, "no node n9"),
        (["fault", "n1", "bmc.unheard_of"], 3, "no fault bmc.unheard_of"),
        (["heal", "n1", "bmc.unheard_of"], 3, "no fault bmc.unheard_of"),
        (["fault", "n1", "bmc.silent", "soon"], 2, "'soon' is not key=value"),
        (["exec", "ch1", "--"], 2, ""),
        (["up", "/nowhere/rack.yaml"], 2, "/nowhere/rack.yaml: No such file or directory"),
        (["dance"], 2, "No such command"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_code_for_scripts(
    bmsim: Bmsim, words: list[str], code: int, told: str
) -> None:
    done = bmsim(*words)
    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_with_mistakes_is_refused_before_anything_is_brought_up(bmsim: Bmsim, tmp_path: Path) -> None:
    file = tmp_path / "rack.yaml"
    file.write_text("name: second\nnodes:\n  - colour: red\n")
    done = bmsim("up", str(file))
    assert done.returncode == 2
    assert f"{file}:3: nodes[0].colour" in done.stderr
    assert not (bmsim.folder / "second").exists()


def test_a_user_who_is_not_root_is_told_so(bmsim: Bmsim) -> None:
    # As nobody, who can't read the folders on the way either.
    done = bmsim("ls", user=65534, HOME="/nonexistent")
    assert done.returncode != 0
    assert "root" in done.stderr or "Permission denied" in done.stderr


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Bmsim]:
    """The command, with a rack of the test's own."""
    file = tmp_path / "rack.yaml"
    file.write_text(yaml.safe_dump(dict(rack_file("mortal"))))
    bmsim = Bmsim(tmp_path / "racks")
    assert bmsim("up", str(file)).returncode == 0
    yield bmsim
    bmsim("down")  # what a test that failed has left


@pytest.mark.parametrize("end", ["taken down", "dead"])
def test_who_follows_a_rack_is_done_when_it_ends_and_its_death_is_told(mortal: Bmsim, end: str) -> None:
    bmsim = mortal
    state = RackState(bmsim.folder / "mortal")
    login = ("ipmitool", "-I", "lanplus", "-H", "10.78.0.101", "-U", "x", "-P", "y", "mc", "info")
    with bmsim.started("log", "--follow") as log, bmsim.started("console", "n1", "--follow") as console:
        assert log.stdout is not None
        bmsim("exec", "ch1", "--", *login)
        assert " bmc " in log.stdout.readline(), "it follows already"
        if end == "dead":
            first = state.supervisor()
            assert first is not None
            os.kill(first, signal.SIGKILL)
        else:
            assert bmsim("down").returncode == 0
        assert (log.wait(), console.wait()) == (0, 0)
    if end == "dead":
        assert bmsim.json("ls") == [
            {
                "name": "mortal",
                "up": False,
                "nodes": 1,
                "compute_hosts": ["ch1", "ch2"],
                "state": str(state.folder),
            }
        ]
        assert " dead " in bmsim("ls").stdout
        assert "rack mortal is dead; clean up by: bmsim rack down mortal" in bmsim("show").stdout
        shown = bmsim.json("show")
        assert isinstance(shown, dict)
        assert (shown["up"], shown["running"]) == (False, {})
        assert bmsim("down").returncode == 0
    assert not state.folder.exists()


def test_a_rack_whose_file_cannot_be_read_is_told_of_without_its_passwords_and_taken_down(
    tmp_path: Path,
) -> None:
    bmsim = Bmsim(tmp_path)
    state = RackState(tmp_path / "old")
    state.folder.mkdir()
    spec = {**rack_file("old"), "colour": "red", "nodes": [{"bmc": {"password": BMC_PASSWORD}}]}
    state.spec_file.write_text(json.dumps(spec))
    for words, code in ((("ls",), 0), (("show",), 4), (("inventory",), 4)):
        done = bmsim(*words)
        assert done.returncode == code
        assert "colour" in done.stderr
        assert "bmsim rack down old" in done.stderr
        assert BMC_PASSWORD not in done.stdout + done.stderr
    assert bmsim("down").returncode == 0
    assert not state.folder.exists()


def test_what_the_system_refuses_is_told_in_one_line(bmsim: Bmsim) -> None:
    done = bmsim("up", str(bmsim.folder.parent / "rack.yaml"), "--state", "/dev/null/racks")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "bmsim: /dev/null/racks: Not a directory"
    assert "Traceback" not in done.stderr


def test_who_is_not_root_and_sees_no_racks_is_told_whose_they_are() -> None:
    done = Bmsim(Path("/nonexistent/racks"))("ls", user=65534, HOME="/nonexistent")
    assert done.returncode == 0, done.stderr
    assert "no racks in /nonexistent/racks" in done.stdout
    assert "sudo bmsim rack ls" in done.stdout


def test_faults_are_listed_and_shown() -> None:
    def bmsim_fault(*words: str) -> Done:
        argv = [sys.executable, "-m", "bmsim", "fault", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    listed = json.loads(bmsim_fault("ls", "--json").stdout)
    assert {"bmc.silent", "net.drop", "pdu.unreachable"} < {fault["name"] for fault in listed}
    assert [fault["name"] for fault in json.loads(bmsim_fault("ls", "tftp", "--json").stdout)] == [
        "tftp.stall"
    ]
    shown = bmsim_fault("show", "tftp.stall").stdout
    assert "after_block=10" in shown
    assert "tinkerbell #728" in shown
    unknown = bmsim_fault("show", "tftp.slow")
    assert unknown.returncode == 3
    assert "there is no fault tftp.slow; there are: bmc.silent" in unknown.stderr


def test_faults_come_and_go_in_the_file_that_the_bmc_reads(bmsim: Bmsim) -> None:
    file = bmsim.folder / "first/faults/n1.json"
    assert bmsim("fault", "n1", "bmc.busy", "count=2").returncode == 0
    assert bmsim("fault", "n1", "bmc.silent").returncode == 0
    assert json.loads(file.read_text()) == {"bmc.busy": {"count": 2}, "bmc.silent": {}}
    assert bmsim("heal", "n1", "bmc.busy").returncode == 0
    assert json.loads(file.read_text()) == {"bmc.silent": {}}
    assert bmsim("heal", "n1").returncode == 0
    assert json.loads(file.read_text()) == {}


def test_a_console_that_has_said_nothing_is_empty(bmsim: Bmsim) -> None:
    done = bmsim("console", "n1", "--no-follow")
    assert (done.returncode, done.stdout) == (0, "")
