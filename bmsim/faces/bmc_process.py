"""One BMC in a process of its own: `python -m bmsim.faces.bmc_process`, its configuration on standard input.

A process each: pyghmi's server state is global to its process, and a slow command holds up every BMC in it.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys
from pathlib import Path
from types import FrameType

from bmsim.audit import AuditLog
from bmsim.faces.ipmi import BmcRestarts, IpmiFace
from bmsim.faults.bmc import ActiveFaults

PR_SET_PDEATHSIG = 1  # linux/prctl.h
RESTARTED = 75  # EX_TEMPFAIL: the supervisor starts us again


def main() -> int:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGTERM, _leave)
    given = json.load(sys.stdin)
    face = IpmiFace(
        node=given["node"],
        address=given["address"],
        port=given["port"],
        user=given["user"],
        password=given["password"],
        libvirt_uri=given["libvirt_uri"],
        domain=given["domain"],
        console=Path(given["console"]),
        audit=AuditLog(Path(given["audit"])),
        faults=ActiveFaults(Path(given["faults"])),
    )
    print("ready", flush=True)
    try:
        face.serve()
    except BmcRestarts:
        return RESTARTED
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
