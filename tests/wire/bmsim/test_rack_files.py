"""A rack leaves no file outside its state folder, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bmsim.backends.accelerator import accelerator
from bmsim.rack.state import RackState
from tests.wire.bmsim.conftest import BMC_PASSWORD, rack_file
from tests.wire.bmsim.traces import FAMILY, eventually, family, processes
from tests.wire.bmsim.written_files import System, system

pytestmark = [pytest.mark.wire, pytest.mark.rack]

Bmsim = Callable[..., str]


def rack_with_a_pdu() -> dict[str, Any]:
    """Of a machine with a BMC and a feed."""
    (node,) = rack_file()["nodes"]
    pdu = {"name": "a", "family": "apc_rackpdu", "address": "10.78.0.201"}
    return {**rack_file(), "pdus": [pdu], "nodes": [{**node, "outlets": [{"pdu": "a", "outlet": 1}]}]}


@pytest.fixture
def racks(tmp_path: Path) -> Path:
    """The state folder."""
    folder = tmp_path / "racks"
    folder.mkdir()
    return folder


@pytest.fixture
def watched(mark: str, racks: Path, tmp_path: Path) -> Iterator[System]:
    accelerator()  # asked of this system once per boot, and kept in a cache
    (tmp_path / "rack.json").write_text(json.dumps(rack_with_a_pdu()))
    with system(tmp_path, racks) as made:
        yield made


@pytest.fixture
def bmsim(watched: System, racks: Path) -> Iterator[Bmsim]:
    """The command `bmsim rack`."""

    def run(*words: str) -> str:
        state = ("env", f"BMSIM_STATE={racks}", f"IPMI_PASSWORD={BMC_PASSWORD}")
        return watched.run(*state, sys.executable, "-m", "bmsim", "rack", *words)

    yield run
    if (racks / "test/rack.json").exists():
        run("down")


@pytest.fixture
def rack(bmsim: Bmsim, racks: Path, tmp_path: Path) -> RackState:
    """One that a user has brought up and put to work: its BMC and its PDU have switched its machine on."""
    bmsim("up", f"{tmp_path}/rack.json")
    ipmi = ("ipmitool", "-I", "lanplus", "-H", "10.78.0.101", "-U", "admin", "-E")
    bmsim("exec", "ch1", "--", *ipmi, "power", "on")
    outlet = ("10.78.0.201", "1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.1", "i", "1")
    bmsim("exec", "ch1", "--", "snmpset", "-v2c", "-c", "private", *outlet)
    bmsim("fault", "n1", "net.drop", "probability=0.5")
    state = RackState(racks / "test")
    assert json.loads(bmsim("show", "--json"))["running"] == {"n1": True}
    eventually("its firmware has begun", lambda: "SeaBIOS" in state.console_log("n1").read_text())
    return state


def test_files_that_are_made_changed_or_removed_are_named(
    watched: System, racks: Path, tmp_path: Path
) -> None:
    places = [tmp_path, *map(Path, ("/dev/shm", "/etc", "/run", "/tmp", "/var/lib/libvirt"))]
    made = [place / f"made-{tmp_path.name}" for place in places]
    watched.run("touch", *map(str, made))
    watched.run("sh", "-c", "echo >> /etc/passwd; rm /etc/group; mkdir /srv/folder; rmdir /srv/folder")
    watched.run("touch", f"{racks}/kept")
    assert watched.written() == sorted(["/etc/group", "/etc/passwd", *map(str, made)])
    assert [path.name for path in racks.iterdir()] == ["kept"]
    assert not any(path.exists() for path in made)


def test_a_rack_that_is_taken_down_leaves_no_file(
    rack: RackState, bmsim: Bmsim, watched: System, racks: Path
) -> None:
    bmsim("down")
    assert watched.written() == []
    assert list(racks.iterdir()) == []


@pytest.mark.parametrize("victim", FAMILY)
def test_a_rack_that_is_killed_leaves_no_file_but_in_its_state_folder(
    victim: str, rack: RackState, bmsim: Bmsim, watched: System, mark: str, racks: Path
) -> None:
    init = rack.supervisor()
    assert init is not None
    os.kill(family(init)[victim], signal.SIGKILL)
    eventually("only the system's holder is left", lambda: len(processes(mark)) == 1)
    assert rack.spec_file.exists()
    assert watched.written() == []
    bmsim("down")
    assert watched.written() == []
    assert list(racks.iterdir()) == []
