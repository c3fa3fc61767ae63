"""Process 1 of a rack: ends with its supervisor, and reaps what others leave behind.

libvirt's QEMU processes detach themselves and become ours; libvirtd waits for their end, which it sees only
once they are reaped. A process of its own, so that reaping "any child" takes no child from the supervisor.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from bmsim.sandbox import supervisor


def main() -> None:
    child = os.fork()
    if child == 0:
        supervisor.main()
        return

    def forward(number: int, frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    while True:
        pid, status = os.wait()
        if pid == child:
            sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)


if __name__ == "__main__":
    main()
