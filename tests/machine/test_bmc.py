"""A BMC and its machine: boots come from where the flags say, and the console is heard over the LAN."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bmsim.api import RunningRack
from tests.machine.commands import eventually
from tests.machine.racks import node, rack

pytestmark = pytest.mark.machine

BOOT_S = 120.0
"""How long firmware may take, on two cores without KVM, another rack beside us."""

DISK, NETWORK = "Booting from Hard Disk", "Configuring (net0"
"""What SeaBIOS and iPXE say as they try a device."""


@contextmanager
def up(folder: Path) -> Iterator[RunningRack]:
    with RunningRack.up({**rack(node(memory_mib=256)), "name": "rack"}, folder) as running:
        yield running


def bmc(running: RunningRack, *words: str) -> str:
    done = running.run(
        "ch1",
        ("ipmitool", "-I", "lanplus", "-H", "10.78.0.101", "-U", "admin", "-E", *words),
        env={**os.environ, "IPMI_PASSWORD": "correct-horse-1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return str(done.stdout)


def attempts(running: RunningRack) -> list[str]:
    """The devices that were tried, in order."""
    found = re.findall("|".join(map(re.escape, (DISK, NETWORK))), running.console("n1"))
    return [str(each) for each in found]


def tries(running: RunningRack, device: str, after: int = 0) -> None:
    eventually(f"it boots: {device}", lambda: device in attempts(running)[after:], BOOT_S)


def test_a_boot_device_for_one_boot_decides_one_boot(tmp_path: Path) -> None:
    with up(tmp_path) as running:
        bmc(running, "chassis", "bootdev", "pxe")
        bmc(running, "power", "on")
        tries(running, NETWORK)
        seen = len(attempts(running))
        bmc(running, "power", "reset")
        tries(running, DISK, seen)
        assert NETWORK not in attempts(running)[seen:]


def test_a_boot_device_that_is_set_while_the_machine_runs_decides_its_own_next_reset(tmp_path: Path) -> None:
    with up(tmp_path) as running:
        bmc(running, "power", "on")
        tries(running, DISK)  # there is nothing on it: the firmware resets the machine by itself
        bmc(running, "chassis", "bootdev", "pxe", "options=persistent")
        tries(running, NETWORK)
        assert all(entry.command != "chassis.power.reset" for entry in running.received())


def test_a_machines_console_is_heard_over_the_lan_through_its_starts(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    with up(tmp_path) as running, heard.open("wb") as out:
        silent, terminal = os.openpty()
        argv = ("ipmitool", "-I", "lanplus", "-H", "10.78.0.101", "-U", "admin", "-E", "sol", "activate")
        listener = running.popen(
            "ch1",
            argv,
            env={**os.environ, "IPMI_PASSWORD": "correct-horse-1"},
            stdin=terminal,
            stdout=out,
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(
                "the console is open",
                lambda: any(entry.command == "sol.activate" for entry in running.received()),
                30,
            )
            bmc(running, "power", "on")
            tries(running, DISK)
            bmc(running, "power", "cycle")
            tries(running, DISK, 1)
            said = next(tmp_path.rglob("n1/console.log")).read_bytes()
            eventually("all of it was heard", lambda: said in heard.read_bytes(), 30)
        finally:
            listener.terminate()
            listener.wait(30)
            os.close(silent)
            os.close(terminal)
