"""The rack's machines are machines: they netboot, keep trying, lose power, and can be typed to."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bmsim.api import RunningRack
from tests.machine.commands import eventually
from tests.machine.racks import node, rack

pytestmark = pytest.mark.machine

BOOT_S = 120.0
"""How long firmware may take to ask for an address, on two cores without KVM, another rack beside us."""

LISTENER = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    server.bind(("", 67))
    print("listening", flush=True)
    while True:
        packet = server.recv(2048)
        # RFC 2131 §2: chaddr; RFC 4578 §2.1: option 93, the client's architecture.
        architecture = packet.partition(bytes((93, 2)))[2][:2].hex()
        print(packet[28:34].hex(":"), architecture, flush=True)
"""


@contextmanager
def up(folder: Path, **changes: Any) -> Iterator[RunningRack]:
    with RunningRack.up({**rack(node(memory_mib=512, **changes)), "name": "rack"}, folder) as running:
        yield running


def bmc(running: RunningRack, *words: str) -> str:
    argv = ("ipmitool", "-I", "lanplus", "-H", "10.78.0.101", "-U", "admin", "-E", *words)
    environment = {**os.environ, "IPMI_PASSWORD": "correct-horse-1"}
    return str(running.run("ch1", argv, capture_output=True, text=True, check=True, env=environment).stdout)


def says(running: RunningRack, text: str, times: int = 1, within_s: float = BOOT_S) -> None:
    eventually(
        f"the console says {text!r} {times} times",
        lambda: running.console("n1").count(text) >= times,
        within_s,
    )


@contextmanager
def dhcp_requests(running: RunningRack, log: Path) -> Iterator[Path]:
    """Notes who asks for an address, a line for each request."""
    with log.open("wb") as out, running.popen("ch1", ["python3", "-c", LISTENER], stdout=out) as listener:
        try:
            eventually("the listener listens", lambda: log.read_text().startswith("listening\n"), 30)
            yield log
        finally:
            listener.terminate()


@pytest.mark.parametrize(("firmware", "architecture"), [("bios", "0000"), ("uefi", "0007")])
def test_a_machine_asks_for_an_address_when_it_is_told_to_netboot(
    firmware: str, architecture: str, tmp_path: Path
) -> None:
    with up(tmp_path, firmware=firmware) as running, dhcp_requests(running, tmp_path / "dhcp.log") as log:
        bmc(running, "chassis", "bootdev", "pxe")
        bmc(running, "power", "on")
        wanted = f"52:54:00:77:00:01 {architecture}"
        eventually("it asks", lambda: wanted in log.read_text(), BOOT_S)
        assert "iPXE" in running.console("n1")
        assert running.running() == {"n1": True}
        bmc(running, "power", "off")
        eventually("it is off", lambda: running.running() == {"n1": False}, 30)


def test_a_machine_without_link_asks_nobody_and_tries_again_until_it_has_one(tmp_path: Path) -> None:
    with up(tmp_path) as running, dhcp_requests(running, tmp_path / "dhcp.log") as log:
        running.inject("n1", "node.dead_nic")
        bmc(running, "chassis", "bootdev", "pxe", "options=persistent")
        bmc(running, "power", "on")
        says(running, "No bootable device")
        assert log.read_text() == "listening\n"
        running.heal("n1")
        eventually("it asks", lambda: "52:54:00:77:00:01" in log.read_text(), BOOT_S)


def test_uefi_that_finds_nothing_to_boot_tries_again(tmp_path: Path) -> None:
    with up(tmp_path, firmware="uefi") as running:
        bmc(running, "power", "on")
        says(running, "UEFI Interactive Shell", times=2)


def asked(running: RunningRack) -> int:
    """How many commands the BMCs have received: the log tells of machines and faults as well."""
    return sum(entry.device == "bmc" for entry in running.received())


def test_a_machine_that_loses_power_is_off_and_no_bmc_was_asked(tmp_path: Path) -> None:
    with up(tmp_path) as running:
        bmc(running, "power", "on")
        says(running, "SeaBIOS")
        received = asked(running)
        running.inject("n1", "node.power_loss")
        assert running.running() == {"n1": False}
        assert asked(running) == received
        assert bmc(running, "power", "status") == "Chassis Power is off\n"


def test_a_machine_outlives_libvirtd_and_can_still_be_switched_off(tmp_path: Path) -> None:
    with up(tmp_path) as running:
        bmc(running, "power", "on")
        says(running, "SeaBIOS")
        before = machine_process(running)
        running.run("ch1", ["sh", "-c", "kill -9 $(cat /run/libvirtd.pid)"], check=True)
        eventually("the BMC can tell", lambda: "is on" in power_status(running), 60)
        assert machine_process(running) == before
        bmc(running, "power", "off")
        eventually("it is off", lambda: running.running() == {"n1": False}, 30)


def power_status(running: RunningRack) -> str:
    try:
        return bmc(running, "power", "status")
    except subprocess.CalledProcessError:
        return ""


def machine_process(running: RunningRack) -> str:
    return str(running.run("ch1", ["pgrep", "qemu"], capture_output=True, text=True, check=True).stdout)


def test_a_rack_that_is_taken_down_takes_its_running_machines_along(tmp_path: Path) -> None:
    with up(tmp_path / "racks") as running:
        bmc(running, "power", "on")
        disk = str(running.state.node_folder("n1"))
        assert any(disk in command for command in command_lines())
    assert not any(disk in command for command in command_lines())
    assert list((tmp_path / "racks").iterdir()) == []


def command_lines() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_a_person_can_type_into_the_console_and_leave_it(tmp_path: Path) -> None:
    with up(tmp_path) as running, Terminal(running, "console", "n1") as terminal:
        bmc(running, "chassis", "bootdev", "pxe")
        bmc(running, "power", "on")
        # Again and again: iPXE listens for two seconds, of a machine that may be quicker than its console.
        terminal.await_text(b"iPXE>", typing=b"\x02")
        terminal.type(b"ifstat\r")
        terminal.await_text(b"52:54:00:77:00:01 using")
        terminal.type(b"\x1d")
        assert terminal.process.wait(timeout=30) == 0
        assert running.running() == {"n1": True}


TYPE_EVERY_S = 0.2


class Terminal:
    """A command of `bmsim rack` on a terminal of its own."""

    def __init__(self, running: RunningRack, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        options = ("--rack", running.state.name, "--state", str(running.state.folder.parent))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bmsim", "rack", *words, *options],
            stdin=theirs,
            stdout=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._seen = b""

    def await_text(self, text: bytes, *, typing: bytes = b"") -> None:
        """Returns when `text` has come since the last that was awaited. typing: again until then."""
        type_at = time.monotonic()
        end = type_at + BOOT_S
        while text not in self._seen:
            assert time.monotonic() < end, f"{text!r} did not come; what came: {self._seen[-2000:]!r}"
            if select.select([self._ours], [], [], 0.2)[0]:
                self._seen += os.read(self._ours, 65536)
            if typing and time.monotonic() > type_at:
                self.type(typing)
                type_at = time.monotonic() + TYPE_EVERY_S
        self._seen = self._seen.partition(text)[2]

    def type(self, data: bytes) -> None:
        os.write(self._ours, data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


def test_the_log_tells_what_the_bmc_was_told(tmp_path: Path) -> None:
    with up(tmp_path) as running:
        bmc(running, "power", "on")
        options = ("--rack", "rack", "--state", str(tmp_path), "--json")
        argv = [sys.executable, "-m", "bmsim", "rack", "log", *options]
        text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        entries = [json.loads(line) for line in text.splitlines()]
        told = [entry for entry in entries if entry["command"] == "chassis.power.on"]
        assert [(entry["node"], entry["result"]) for entry in told] == [("n1", "ok")]
        assert told[0]["sender"].startswith("10.78.0.10:")
        assert "correct-horse" not in text
