"""The guard of a lease: `python -I -S lease_guard_program.py`, told on standard input of children and of the
lease's end.

A line is `child PID`, of one that leads a session of its own, or `lease SECONDS`, of CLOCK, the last of which
counts. The end of the input is the end of whoever told. It finds the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import NamedTuple

CLOCK = time.CLOCK_BOOTTIME
"""That of `services.system.SystemClock`: it runs while the machine is suspended."""

LOOK_S = 0.1
"""Between two looks for processes that are to end: each that is still started ends as well."""

AWAKE_S = 0.5
"""Between two looks at the clock: what `select` waits by stands still while the machine is suspended."""

FORGET_S = 5.0
"""Between two looks for sessions that have ended. Systems give their numbers again, to others, but only after
thousands of new processes."""

END_S = 10.0
"""For what is left of one that is gone. A process that hangs in the kernel has its signal by then."""

SPARED = ("ganesha.nfsd",)
"""Serves roots that running machines have mounted; that another host serves them as well harms nobody."""


class Process(NamedTuple):
    pid: int
    name: str
    session: int


class Told:
    ends_at_s = inf
    sessions: frozenset[int] = frozenset()
    _rest = b""

    def hear(self) -> bool:
        """What was told since; waits for it. False: nobody is there any more who could tell."""
        words = os.read(sys.stdin.fileno(), 65536)
        *lines, self._rest = (self._rest + words).split(b"\n")
        for line in lines:
            what, number = line.split()
            if what == b"lease":
                self.ends_at_s = float(number)
            else:
                self.sessions |= {int(number)}
        return bool(words)


def main() -> None:
    """Until it is killed, or what is left of those who told has ended."""
    told, forgotten_at_s = Told(), 0.0
    while True:
        now_s = time.clock_gettime(CLOCK)
        left_s = told.ends_at_s - now_s
        if left_s <= 0:
            end(told.sessions, SPARED)
        if now_s - forgotten_at_s >= FORGET_S:
            told.sessions &= {one.session for one in running()}
            forgotten_at_s = now_s
        wait_s = min(left_s, AWAKE_S) if left_s > 0 else LOOK_S
        if select.select([sys.stdin], [], [], wait_s)[0] and not told.hear():
            break
    until_s = time.clock_gettime(CLOCK) + END_S
    while end(told.sessions) and time.clock_gettime(CLOCK) < until_s:
        time.sleep(LOOK_S)


def end(sessions: frozenset[int], spared: tuple[str, ...] = ()) -> bool:
    """Whether there was anything to end."""
    if not sessions:
        return False
    found = [one for one in running() if one.session in sessions and one.name not in spared]
    for one in found:
        with contextlib.suppress(OSError):  # it has ended, or isn't ours to end
            os.kill(one.pid, signal.SIGKILL)
    return bool(found)


def running() -> Iterator[Process]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
                state, _, _, session, *_ = rest.split()  # proc(5)
                if state not in "ZX":
                    yield Process(int(entry.name), name, int(session))


if __name__ == "__main__":
    main()
