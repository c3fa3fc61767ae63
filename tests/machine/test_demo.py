"""script/demo as a newcomer types it: to its proof, and left up to look around."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.machine.lab import run

pytestmark = pytest.mark.machine

PROJECT = Path(__file__).resolve().parents[2]
DEADLINE_S = 900


@pytest.fixture
def home() -> Iterator[Path]:
    """Where the demo keeps its state. Whatever becomes of the test, nothing of it stays up."""
    # Not pytest's own folder: with it, the paths of sockets get too long.
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        try:
            yield Path(folder)
        finally:
            try:
                if any(Path(folder).iterdir()):
                    demo(Path(folder), "--down")
            finally:
                for pid in processes(Path(folder)):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


def demo(home: Path, *words: str, expect: int = 0) -> str:
    """What both of its streams say, in order."""
    argv = ["bash", "-c", 'exec 2>&1; exec "$0" "$@"', PROJECT / "script/demo", *words]
    environment = {**os.environ, "XDG_STATE_HOME": str(home)}
    return run(argv, timeout_s=DEADLINE_S, expect=expect, env=environment, stdin=subprocess.DEVNULL)


def look(commands: str, given: str = "") -> str:
    """Types commands in the project's folder, as they were printed."""
    return run(["bash", "-euc", commands], cwd=PROJECT, input=given)


def processes(home: Path) -> dict[int, str]:
    """Those that a demo has started: they have its environment, or files of its in their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended
                command, environment = ((entry / name).read_bytes() for name in ("cmdline", "environ"))
                if os.fsencode(home) in command + environment:
                    found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def is_proven(told: str) -> None:
    proof = told.partition("== Proof:")[2].partition("== All that happened")[0]
    assert re.search(r'^web\ndebian\nPRETTY_NAME="tiny .*\n\d+\.\d+\.', proof, re.MULTILINE), told
    timeline = told.partition("== All that happened")[2]
    steps = ("power_on", "write_image", "verify_image", "instance_running")
    assert [step for step in steps if step not in timeline] == [], told
    assert "chassis.power.on" in timeline.partition("What the BMC was told")[2], told
    assert re.search(r"^n1 is up and proven, .*\n\n    script/demo --image tiny\n", told, re.MULTILINE), told


def is_down(home: Path, told: str) -> None:
    assert "\nnothing was left behind\n" in told
    assert list(home.iterdir()) == []
    assert processes(home) == {}


@pytest.mark.full
def test_the_demo_ends_with_its_proof_and_leaves_nothing_behind(home: Path) -> None:
    told = demo(home, "--image", "tiny")
    is_proven(told)
    is_down(home, told)


def test_the_mixed_demo_runs_an_instance_of_each_architecture_and_leaves_nothing_behind(home: Path) -> None:
    told = demo(home, "mixed")
    proof, _, after = told.partition("== Proof: a login to each")[2].partition("== Who has which node")
    asked = r"^\$ bmsim rack exec .* 'uname -m'\n(\S+)$"
    assert re.findall(asked, proof, re.MULTILINE) == ["x86_64", "aarch64", "armv7l", "tilepro"], told
    for instance, node in (
        ("on-x86-64", "server[12]"),
        ("on-arm64", "board64"),
        ("on-armhf", "board32"),
        ("on-tilepro64", "tile"),
    ):
        assert re.search(rf"\b{instance}\b.*\bactive\b.*\b{node}\b", after), told
    # Both feeds of board64, one of each of the others; a server by its BMC.
    assert len(re.findall(r"\boutlet\.on\b", after)) >= 4, told
    assert "chassis.power.on" in after, told
    assert "\n\n    script/demo mixed\n" in after, told
    is_down(home, told)


@pytest.mark.full
def test_the_demo_of_two_hosts_has_both_at_work_and_leaves_nothing_behind(home: Path) -> None:
    told = demo(home, "failover")
    done = {host: steps.split(", ") for host, steps in re.findall(r"^(ch[12]): (.+)$", told, re.MULTILINE)}
    assert sorted(done) == ["ch1", "ch2"], told
    killed = next((host for host, steps in done.items() if steps[-1] != "instance_running"), "")
    assert killed, told
    assert done.pop(killed)[-1] == "export_disk", "it died in the next step, which writes"
    (steps,) = done.values()
    assert (steps[0], steps[-1]) == ("export_disk", "instance_running"), told
    assert "is owned, fence 2, taken over" in told, "the column is too narrow for the rest"
    assert re.search(r"^passed: .*one_owner.* held at every moment$", told, re.MULTILINE), told
    assert "\n\n    script/demo failover\n" in told, told
    is_down(home, told)


@pytest.mark.full
def test_a_demo_that_is_kept_can_be_looked_at_as_it_says_and_is_taken_down(home: Path) -> None:
    told = demo(home, "--image", "tiny", "--keep")
    is_proven(told)
    printed = told.partition("Look around:\n\n")[2].partition("\n\nTake it down: script/demo --down\n")[0]
    lines = [line.strip() for line in printed.splitlines()]
    variables = "\n".join(line for line in lines if line.startswith("export "))
    nodes, instances, console, login = (line for line in lines if not line.startswith("export "))
    assert re.search(r"\bn1\b.*\bactive\b", look(f"{variables}\n{nodes}"))
    assert re.search(r"\bweb\b.*\bactive\b", look(f"{variables}\n{instances}"))
    assert "web is up" in look(f"{variables}\n{console} --no-follow")
    assert look(f"{variables}\n{login}", given="hostname\n").splitlines()[-1] == "web"
    assert processes(home), "the rack is up"
    assert "an earlier one is still up" in demo(home, "--image", "tiny", expect=1)

    demo(home, "--down")
    assert list(home.iterdir()) == []
    assert processes(home) == {}
