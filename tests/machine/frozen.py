"""A process that stands still at a moment of our choice, so that the world can change meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.machine.commands import DEADLINES_S, eventually

TURN_S = 0.0002
"""For which it runs between two looks."""


@contextmanager
def stopped_when(pid: int, what: str, look: Callable[[], bool]) -> Iterator[None]:
    """Runs the body while the process is stopped in a state in which `look` says yes. Looks only while it is
    stopped, so that nothing moves on meanwhile."""

    def is_so() -> bool:
        os.kill(pid, signal.SIGSTOP)
        eventually(f"process {pid} stands still", lambda: _stands_still(pid), DEADLINES_S["step"], TURN_S)
        if look():
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    try:
        eventually(what, is_so, DEADLINES_S["step"], TURN_S)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _stands_still(pid: int) -> bool:
    """All of its threads: one that computes stops when it gets a turn."""
    return all(_state(thread) in "TZX" for thread in Path(f"/proc/{pid}/task").iterdir())


def _state(thread: Path) -> str:
    with suppress(OSError):  # it has ended
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]  # proc(5)
    return "X"
