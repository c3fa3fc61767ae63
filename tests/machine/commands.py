"""Commands that are run to their end, and conditions that are waited for."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
BIN = Path(sys.executable).parent

DEADLINES_S = {
    "ready": 180.0,
    "enrol": 120.0,
    "active": 900.0,
    "error": 900.0,
    "deleted": 600.0,
    "step": 600.0,
}
"""How long a condition may take on two cores without KVM, other racks beside us."""


class CommandFailed(AssertionError):
    """A command ended otherwise than expected. Carries what it printed."""

    def __init__(self, argv: Sequence[str], code: int, output: str) -> None:
        self.code = code
        self.output = output
        super().__init__(f"{' '.join(argv)} → {code}\n{output}")


def run(argv: Sequence[str | Path], *, timeout_s: float = 120, expect: int = 0, **options: Any) -> str:
    """Runs a command to its end and returns its standard output."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, check=False, **options)
    if done.returncode != expect:
        raise CommandFailed(words, done.returncode, done.stdout + done.stderr)
    told: str = done.stdout
    return told


def eventually(what: str, look: Callable[[], T | None], deadline_s: float, pause_s: float = 0.25) -> T:
    """Polls until `look` gives something true; fails naming `what` after `deadline_s`."""
    end = time.monotonic() + deadline_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:.0f} s: {what}")
        time.sleep(pause_s)
