"""One BMC in a process of its own: `python -m bmsim.faces.bmc_process`, its configuration on standard input.

A process each: pyghmi's server state is global to its process, and a slow command holds up every BMC in it.
It says `ready` on standard output when it listens, and ends by SIGTERM or with its parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from bmsim.audit import AuditLog
from bmsim.faces.ipmi import BmcConfig, IpmiFace
from bmsim.faces.libvirt_machine import LibvirtMachine
from bmsim.faces.serial_console import SerialConsole
from bmsim.faces.sol import POLL_S
from bmsim.faults.fault_file import FaultFile

PR_SET_PDEATHSIG = 1  # linux/prctl.h

TICK_S = 0.5
"""How late what time brings about may be, while nobody listens to the console."""

LARGEST_PACKET_BYTES = 65535
PACKETS_A_TURN = 64
"""After these the clock gets its turn, however many wait."""


def main() -> int:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    given = json.load(sys.stdin)
    try:
        face = _face(given)
    except OSError as error:
        where = f"{given['address']}:{given['port']}"
        print(f"the BMC of {given['node']} can't listen at {where}: {error}", file=sys.stderr)
        return 1
    ended, end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def leave(number: int, frame: FrameType | None) -> None:
        os.write(end, b"x")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    print("ready", flush=True)
    _serve(face, ended)
    return 0


def _face(given: Mapping[str, Any]) -> IpmiFace:
    return IpmiFace(
        BmcConfig(given["node"], given["address"], given["port"], given["user"], given["password"]),
        LibvirtMachine(given["libvirt_uri"], given["domain"]),
        console=lambda: SerialConsole(Path(given["console_log"]), Path(given["console"])),
        audit=AuditLog(Path(given["audit"])),
        faults=FaultFile(Path(given["faults"])),
    )


def _serve(face: IpmiFace, ended: int) -> None:
    wire = face.serversocket
    while True:
        timeout_s = POLL_S if face.listens_to_console else TICK_S
        readable, _, _ = select.select([wire, ended], [], [], timeout_s)
        if ended in readable:
            return
        with contextlib.suppress(BlockingIOError):
            for _ in range(PACKETS_A_TURN):
                # Not by the socket's mode, which pyghmi sets as it sends.
                face.receive(*wire.recvfrom(LARGEST_PACKET_BYTES, socket.MSG_DONTWAIT))
        face.tick()


if __name__ == "__main__":
    sys.exit(main())
