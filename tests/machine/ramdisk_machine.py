"""The deploy ramdisk on an emulated machine, booted straight from its kernel: no rack, no PXE."""

from __future__ import annotations

import contextlib
import ctypes
import http.server
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.ramdisk import Ramdisk
from tests.agent_peer import AgentPeer
from tests.ports import free_port
from tests.serving import serving

MAC = "52:54:00:77:00:01"
TOKEN = "5f" * 16
NODE = "7d0a2a54-4c1e-4a6b-9a52-0d3b8e4f6c11"
HOST_SEEN_BY_GUEST = "10.0.2.2"  # of QEMU's own network
BOOT_TIMEOUT_S = 90.0
EMULATED = "earlyprintk=ttyS1,115200,keep no_timer_check"
"""A kernel counts interrupts of the timer early, and panics ("IO-APIC + timer doesn't work!") where a host
with much to do has emulated too few of them."""
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class Console:
    """kernel_log: what the kernel says besides, at a port that no command line names as its console."""

    def __init__(self, path: Path, kernel_log: Path, process: subprocess.Popen[bytes]) -> None:
        self.path = path
        self._kernel_log = kernel_log
        self._process = process

    def said(self) -> str:
        return self.path.read_text(errors="replace") if self.path.exists() else ""

    def wait_for(self, text: str) -> None:
        poll_until(lambda: text in self.said(), self.check, lambda: f"{text!r} in {self.said()}")

    def check(self) -> None:
        code = self._process.poll()
        if code is not None:
            kernel = self._kernel_log.read_text(errors="replace") if self._kernel_log.exists() else ""
            raise AssertionError(f"the machine ended ({code}); its kernel: {kernel}; console: {self.said()}")


@dataclass(frozen=True)
class RamdiskMachine:
    agent: AgentPeer
    iscsi_port: int
    announcement: dict[str, Any]
    announced_after_s: float
    console: Console


@contextlib.contextmanager
def booted(
    folder: Path,
    ramdisk: Ramdisk,
    disks_mib: dict[str, int],
    memory_mib: int = 1024,
    serial_port: str = "ttyS0",
) -> Iterator[RamdiskMachine]:
    """disks_mib: serial number → size. Yields when the agent has reported."""
    agent_port, iscsi_port = free_port(), free_port()
    forwards = f",hostfwd=tcp:127.0.0.1:{agent_port}-:9999,hostfwd=tcp:127.0.0.1:{iscsi_port}-:3260"
    with _listening() as (announce_port, heard):
        began_s = time.monotonic()
        orders = _orders(announce_port, serial_port)
        with powered_on(
            folder, ramdisk, disks_mib, orders, memory_mib=memory_mib, forwards=forwards
        ) as console:
            poll_until(lambda: bool(heard), console.check)
            yield RamdiskMachine(
                agent=AgentPeer("127.0.0.1", agent_port, TOKEN),
                iscsi_port=iscsi_port,
                announcement=heard[0],
                announced_after_s=time.monotonic() - began_s,
                console=console,
            )


@contextlib.contextmanager
def powered_on(
    folder: Path,
    ramdisk: Ramdisk,
    disks_mib: dict[str, int],
    command_line: str,
    *,
    memory_mib: int = 1024,
    forwards: str = "",
) -> Iterator[Console]:
    path, kernel_log = folder / "console.log", folder / "kernel.log"
    argv = [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", str(memory_mib)),
        *("-serial", f"file:{path}", "-serial", f"file:{kernel_log}"),
        *("-device", "virtio-rng-pci"),
        *("-netdev", f"user,id=net0{forwards}"),
        *("-device", f"virtio-net-pci,netdev=net0,mac={MAC},romfile="),
        *_disks(folder, disks_mib),
        *(
            "-kernel",
            str(ramdisk.kernel),
            "-initrd",
            str(ramdisk.initrd),
            "-append",
            f"{command_line} {EMULATED}",
        ),
    ]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent)
    try:
        yield Console(path, kernel_log, process)
    finally:
        process.kill()
        process.wait()


def poll_until(
    condition: Callable[[], bool], check: Callable[[], None], what: Callable[[], str] = lambda: "reported"
) -> None:
    deadline = time.monotonic() + BOOT_TIMEOUT_S
    while not condition():
        check()
        assert time.monotonic() < deadline, f"not within {BOOT_TIMEOUT_S} s: {what()}"
        threading.Event().wait(0.05)


@contextlib.contextmanager
def _listening() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    heard: list[dict[str, Any]] = []

    class Hello(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            allowed = self.headers["Authorization"] == f"Bearer {TOKEN}"
            self.send_response(204 if allowed else 401)
            self.end_headers()
            if allowed:
                heard.append(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)) as server:
        yield server.server_port, heard


def _disks(folder: Path, disks_mib: dict[str, int]) -> list[str]:
    argv = []
    for serial, size_mib in disks_mib.items():
        path = folder / f"{serial}.raw"
        path.touch()
        os.truncate(path, size_mib * 2**20)
        argv += ["-drive", f"file={path},format=raw,if=none,id={serial},discard=unmap"]
        argv += ["-device", f"virtio-blk-pci,drive={serial},serial={serial}"]
    return argv


def _orders(announce_port: int, serial_port: str) -> str:
    words = [
        f"provisioner.node={NODE}",
        f"provisioner.token={TOKEN}",
        f"provisioner.announce=http://{HOST_SEEN_BY_GUEST}:{announce_port}/agent/v1/hello",
        f"BOOTIF=01-{MAC.replace(':', '-')}",
        f"console={serial_port} quiet panic=10 mitigations=off cryptomgr.notests",
    ]
    return " ".join(words)


def _die_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
