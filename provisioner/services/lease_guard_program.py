"""The guard of a lease: `python -I -S lease_guard_program.py PID`, told on standard input when it ends.

It finds the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

FORMAT = "d"
"""One message: the end of the lease, in seconds of CLOCK. The last one that came counts."""

CLOCK = time.CLOCK_BOOTTIME
"""That of `services.system.SystemClock`: it runs while the machine is suspended."""

LOOK_S = 0.1
"""Between two looks for children when the lease has run out: each that is still started ends as well."""

AWAKE_S = 0.5
"""Between two looks at the clock: what `select` waits by stands still while the machine is suspended."""

SPARED = ("ganesha.nfsd",)
"""Serves roots that running machines have mounted; that another host serves them as well harms nobody."""


def main(parent: int) -> None:
    """Until it is killed, with its parent at the latest."""
    ends_at_s = _told()
    while ends_at_s is not None:
        left_s = ends_at_s - time.clock_gettime(CLOCK)
        if left_s <= 0:
            for pid in _children_of(parent):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        if select.select([sys.stdin], [], [], min(left_s, AWAKE_S) if left_s > 0 else LOOK_S)[0]:
            ends_at_s = _told()


def _told() -> float | None:
    """None: nobody is there any more who could tell."""
    size = struct.calcsize(FORMAT)
    words = os.read(sys.stdin.fileno(), 1024 * size)  # whole messages: each was written at once (pipe(7))
    return struct.unpack(FORMAT, words[-size:])[0] if words else None


def _children_of(parent: int) -> Iterator[int]:
    """Each of them leads a group of its own."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            if int(rest.split()[1]) == parent and name not in SPARED:
                yield int(entry.name)


if __name__ == "__main__":
    main(int(sys.argv[1]))
