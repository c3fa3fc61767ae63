"""A rack is complete while it is up, and gone without a trace whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmsim.api import RunningRack
from bmsim.rack.errors import RackError
from bmsim.rack.state import RackState
from bmsim.sandbox.control import order
from tests.wire.bmsim.conftest import BMC_PASSWORD, NewRack, rack_file
from tests.wire.bmsim.traces import (
    FAMILY,
    eventually,
    family,
    held_namespaces,
    network_namespaces,
    processes,
    system,
)

pytestmark = [pytest.mark.wire, pytest.mark.rack]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRack]:
    """One for all tests that leave it as it was."""
    with RunningRack.up(rack_file(), tmp_path_factory.mktemp("shared")) as rack:
        yield rack


def power_status(rack: RunningRack, host: str = "ch1") -> str:
    words = ("ipmitool", "-I", "lanplus", "-N", "1", "-R", "3", "-H", "10.78.0.101", "-U", "admin", "-E")
    environment = {**os.environ, "IPMI_PASSWORD": BMC_PASSWORD}
    done = rack.run(host, [*words, "power", "status"], capture_output=True, text=True, env=environment)
    return str(done.stdout + done.stderr).strip()


def test_a_rack_is_up_when_its_bmcs_answer_on_the_standard_port(shared: RunningRack) -> None:
    assert power_status(shared) == "Chassis Power is off"
    assert shared.running() == {"n1": False}


def test_a_rack_that_is_taken_down_leaves_nothing(new_rack: NewRack, mark: str, tmp_path: Path) -> None:
    before = system(tmp_path)
    rack = new_rack()
    assert system(tmp_path) == before
    with held_namespaces(mark) as inside:
        assert inside
        rack.down()
        assert processes(mark) == {}
        assert system(tmp_path) == before
        assert not inside & network_namespaces()
    assert list((tmp_path / "racks").iterdir()) == []


@pytest.mark.parametrize("victim", FAMILY)
def test_a_rack_whose_processes_are_killed_leaves_nothing(
    victim: str, new_rack: NewRack, mark: str, tmp_path: Path
) -> None:
    before = system(tmp_path)
    rack = new_rack()
    sleeper = rack.popen("ch1", ["sh", "-c", "setsid sleep 1000 & sleep 1000"])
    eventually(
        "the sleepers run", lambda: len([c for c in processes(mark).values() if c == "sleep 1000 "]) == 2
    )
    init = rack.state.supervisor()
    assert init is not None
    os.kill(family(init)[victim], signal.SIGKILL)
    sleeper.wait(timeout=30)
    eventually("all processes are gone", lambda: not processes(mark))
    assert system(tmp_path) == before
    assert rack.state.supervisor() is None
    rack.down()
    assert list((tmp_path / "racks").iterdir()) == []


def test_racks_with_equal_addresses_run_side_by_side(new_rack: NewRack) -> None:
    one, other = new_rack("one"), new_rack("other")
    listen = "import socket; s = socket.create_server(('10.77.0.10', 9)); print(flush=True); s.accept()"
    connect = "import socket; socket.create_connection(('10.77.0.10', 9), timeout=60)"
    listener = one.popen("ch1", ["python3", "-c", listen], stdout=subprocess.PIPE)
    assert listener.stdout is not None
    assert listener.stdout.readline() == b"\n"
    refused = other.run("ch2", ["python3", "-c", connect], capture_output=True, text=True)
    assert "ConnectionRefusedError" in refused.stderr
    assert one.run("ch2", ["python3", "-c", connect]).returncode == 0
    assert listener.wait(timeout=60) == 0
    listener.stdout.close()
    assert power_status(one) == power_status(other) == "Chassis Power is off"


def test_a_rack_that_is_up_is_not_brought_up_twice(shared: RunningRack) -> None:
    with pytest.raises(RackError, match="up already") as refused:
        RunningRack.up(rack_file(), shared.state.folder.parent)
    assert refused.value.code == 4
    assert power_status(shared) == "Chassis Power is off"


def test_a_dead_rack_makes_room_for_the_next(new_rack: NewRack, mark: str) -> None:
    dead = new_rack()
    pid = dead.state.supervisor()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually("all processes are gone", lambda: not processes(mark))
    assert power_status(new_rack()) == "Chassis Power is off"


def test_a_rack_that_fails_to_come_up_says_why_and_leaves_nothing(
    tmp_path: Path, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = system(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    broken = programs / "libvirtd"
    broken.write_text("#!/bin/sh\necho 'the hypervisor is on strike' >&2\nexit 6\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with pytest.raises(RackError, match="the hypervisor is on strike"):
        RunningRack.up(rack_file(), tmp_path / "racks")
    eventually("all processes are gone", lambda: not processes(mark))
    assert system(tmp_path) == before
    assert list((tmp_path / "racks").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_rack_that_nobody_waits_for_any_more_does_not_come_up(
    number: signal.Signals, tmp_path: Path, mark: str
) -> None:
    file = tmp_path / "rack.yaml"
    file.write_text(json.dumps(rack_file()))
    argv = [sys.executable, "-m", "bmsim", "rack", "up", str(file), "--state", str(tmp_path / "racks")]
    up = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually("it is on its way", lambda: any("sandbox.init" in words for words in processes(mark).values()))
    up.send_signal(number)
    assert up.wait(timeout=30) != 0
    eventually("all processes are gone", lambda: not processes(mark))
    with RunningRack.up(rack_file(), tmp_path / "racks") as rack:
        assert rack.running() == {"n1": False}
    assert list((tmp_path / "racks").iterdir()) == []


OWNER = """
import json, sys
from pathlib import Path
from bmsim.api import RunningRack
rack = RunningRack.up(json.loads(sys.argv[1]), Path(sys.argv[2]))
print("up", flush=True)
sys.stdin.read()
"""


def test_a_rack_ends_with_the_process_that_brought_it_up(tmp_path: Path, mark: str) -> None:
    argv = [sys.executable, "-c", OWNER, json.dumps(rack_file()), str(tmp_path / "racks")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        owner.kill()
        owner.wait(timeout=30)
        eventually("all processes are gone", lambda: not processes(mark))


def test_programs_that_are_missing_are_named_with_their_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RackError, match=r"libvirt-daemon-system.*script/setup"):
        RunningRack.up(rack_file(), tmp_path / "racks")


def test_a_bmc_that_dies_is_started_again(rack: RunningRack, mark: str) -> None:
    def bmc() -> int | None:
        return next((pid for pid, command in processes(mark).items() if "bmc_process" in command), None)

    first = bmc()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    eventually("another process serves the BMC", lambda: bmc() not in (None, first))
    eventually("it answers", lambda: power_status(rack) == "Chassis Power is off")


def test_a_libvirtd_that_dies_is_started_again(rack: RunningRack) -> None:
    read = ["cat", "/run/libvirtd.pid"]
    first = rack.run("ch1", read, capture_output=True, text=True).stdout.strip()
    rack.run("ch1", ["kill", "-9", first], check=True)

    def another() -> bool:
        now = rack.run("ch1", read, capture_output=True, text=True).stdout.strip()
        return now not in ("", first)

    eventually("libvirtd is back", another)
    eventually("it knows the machines", lambda: _answers(rack))


def _answers(rack: RunningRack) -> bool:
    try:
        return rack.running() == {"n1": False}
    except RackError:
        return False


def test_unplugging_takes_the_link_of_the_machine_and_healing_gives_it_back(shared: RunningRack) -> None:
    def link() -> str:
        words = ("virsh", "domif-getlink", "--config", "n1", "52:54:00:77:00:01")
        return str(shared.run("ch1", words, capture_output=True, text=True, check=True).stdout).split()[-1]

    assert link() == "up"
    shared.inject("n1", "node.dead_nic")
    assert link() == "down"
    shared.heal("n1")
    assert link() == "up"


def test_an_order_that_is_none_is_refused_and_the_rack_lives_on(shared: RunningRack) -> None:
    with pytest.raises(RackError, match="no such order"):
        order(shared.state, "dance")
    with pytest.raises(RackError, match="n9"):
        order(shared.state, "cut_power", node="n9")
    assert shared.running() == {"n1": False}


def test_disks_are_sparse_and_what_is_in_the_state_folder_is_for_its_owner(shared: RunningRack) -> None:
    disk = (shared.state.node_folder("n1") / "disk0.raw").stat()
    assert disk.st_size == 1024 * 2**20
    assert disk.st_blocks * 512 < 2**20
    assert stat.S_IMODE(shared.state.folder.stat().st_mode) == 0o700


def test_no_password_stands_on_a_command_line_or_in_a_log(rack: RunningRack, mark: str) -> None:
    assert BMC_PASSWORD not in " ".join(processes(mark).values())
    for log in rack.state.folder.glob("*.log"):
        assert BMC_PASSWORD not in log.read_text()


def test_a_rack_that_is_down_has_nothing_to_take_down(rack: RunningRack) -> None:
    rack.down()
    rack.down()
    assert RackState(rack.state.folder).supervisor() is None
