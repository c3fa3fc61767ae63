"""The deploy ramdisk on an emulated machine, booted straight from its kernel: no rack, no PXE."""

from __future__ import annotations

import contextlib
import ctypes
import http.server
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.ramdisk import Ramdisk
from tests.agent_peer import AgentPeer

MAC = "52:54:00:77:00:01"
TOKEN = "5f" * 16
NODE = "7d0a2a54-4c1e-4a6b-9a52-0d3b8e4f6c11"
HOST_SEEN_BY_GUEST = "10.0.2.2"  # of QEMU's own network
BOOT_TIMEOUT_S = 90.0
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class RamdiskMachine:
    agent: AgentPeer
    iscsi_port: int
    announcement: dict[str, Any]
    announced_after_s: float
    console: Path

    def said(self) -> str:
        return self.console.read_text(errors="replace")


@contextlib.contextmanager
def booted(
    folder: Path, ramdisk: Ramdisk, disks_mib: dict[str, int], memory_mib: int = 1024
) -> Iterator[RamdiskMachine]:
    """disks_mib: serial number → size. Yields when the agent has reported."""
    console = folder / "console.log"
    agent_port, iscsi_port = _free_port(), _free_port()
    with _listening() as (announce_port, announcements):
        argv = [
            *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", str(memory_mib)),
            *("-serial", f"file:{console}", "-device", "virtio-rng-pci"),
            *("-netdev", _network(agent_port, iscsi_port)),
            *("-device", f"virtio-net-pci,netdev=net0,mac={MAC},romfile="),
            *_disks(folder, disks_mib),
            *("-kernel", str(ramdisk.kernel), "-initrd", str(ramdisk.initrd)),
            *("-append", _command_line(announce_port)),
        ]
        began_s = time.monotonic()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent)
        try:
            announcement = announcements.wait_for_first(process, console)
            yield RamdiskMachine(
                agent=AgentPeer("127.0.0.1", agent_port, TOKEN),
                iscsi_port=iscsi_port,
                announcement=announcement,
                announced_after_s=time.monotonic() - began_s,
                console=console,
            )
        finally:
            process.kill()
            process.wait()


class Announcements:
    def __init__(self) -> None:
        self._came = threading.Condition()
        self.bodies: list[dict[str, Any]] = []

    def add(self, body: dict[str, Any]) -> None:
        with self._came:
            self.bodies.append(body)
            self._came.notify_all()

    def wait_for_first(self, process: subprocess.Popen[bytes], console: Path) -> dict[str, Any]:
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        with self._came:
            while not self.bodies:
                said = console.read_text(errors="replace") if console.exists() else ""
                assert process.poll() is None, f"the machine ended; its console: {said}"
                assert time.monotonic() < deadline, f"no report in {BOOT_TIMEOUT_S} s; its console: {said}"
                self._came.wait(0.5)
            return self.bodies[0]


@contextlib.contextmanager
def _listening() -> Iterator[tuple[int, Announcements]]:
    announcements = Announcements()

    class Hello(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            allowed = self.headers["Authorization"] == f"Bearer {TOKEN}"
            self.send_response(204 if allowed else 401)
            self.end_headers()
            if allowed:
                announcements.add(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], announcements
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _network(agent_port: int, iscsi_port: int) -> str:
    forwards = f"hostfwd=tcp:127.0.0.1:{agent_port}-:9999,hostfwd=tcp:127.0.0.1:{iscsi_port}-:3260"
    return f"user,id=net0,{forwards}"


def _disks(folder: Path, disks_mib: dict[str, int]) -> list[str]:
    argv = []
    for serial, size_mib in disks_mib.items():
        path = folder / f"{serial}.raw"
        path.touch()
        os.truncate(path, size_mib * 2**20)
        argv += ["-drive", f"file={path},format=raw,if=none,id={serial},discard=unmap"]
        argv += ["-device", f"virtio-blk-pci,drive={serial},serial={serial}"]
    return argv


def _command_line(announce_port: int) -> str:
    words = [
        f"provisioner.node={NODE}",
        f"provisioner.token={TOKEN}",
        f"provisioner.announce=http://{HOST_SEEN_BY_GUEST}:{announce_port}/agent/v1/hello",
        f"BOOTIF=01-{MAC.replace(':', '-')}",
        "console=ttyS0 quiet panic=10",
    ]
    return " ".join(words)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
