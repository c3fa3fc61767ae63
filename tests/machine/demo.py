"""script/demo as a newcomer types it, and what it must have told."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.machine.commands import run

PROJECT = Path(__file__).resolve().parents[2]
DEADLINE_S = 900


@contextmanager
def new_home() -> Iterator[Path]:
    """Where the demo keeps its state. However this ends, nothing of it stays up."""
    # Not pytest's own folder: with it, the paths of sockets get too long.
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        try:
            yield Path(folder)
        finally:
            try:
                if any(Path(folder).iterdir()):
                    demo(Path(folder), "--down")
            finally:
                for pid in processes(Path(folder)):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


def demo(home: Path, *words: str, expect: int = 0) -> str:
    """What both of its streams say, in order."""
    argv: list[str | Path] = ["bash", "-c", 'exec 2>&1; exec "$0" "$@"', PROJECT / "script/demo", *words]
    # As wide as the terminal of who runs the tests may be, its lines would break at other words.
    environment = {**os.environ, "XDG_STATE_HOME": str(home), "COLUMNS": "120"}
    return run(argv, timeout_s=DEADLINE_S, expect=expect, env=environment, stdin=subprocess.DEVNULL)


def processes(home: Path) -> dict[int, str]:
    """Those that a demo has started: they have its environment, or files of its in their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended
                command, environment = ((entry / name).read_bytes() for name in ("cmdline", "environ"))
                if os.fsencode(home) in command + environment:
                    found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def is_proven(told: str, *words: str) -> None:
    """words: those that it was called with; its default image is Debian itself."""
    system = "tiny " if "tiny" in words else "Debian GNU/Linux 12 "
    proof = told.partition("== Proof:")[2].partition("== All that happened")[0]
    assert re.search(rf'^web\ndebian\nPRETTY_NAME="{system}.*\n\d+\.\d+\.', proof, re.MULTILINE), told
    timeline = told.partition("== All that happened")[2]
    steps = ("power_on", "write_image", "verify_image", "instance_running")
    assert [step for step in steps if step not in timeline] == [], told
    assert "chassis.power.on" in timeline.partition("What the BMC was told")[2], told
    replay = " ".join(("script/demo", *words))
    assert re.search(rf"^n1 is up and proven, .*\n\n    {replay}\n", told, re.MULTILINE), told


def is_down(home: Path, told: str) -> None:
    assert "\nnothing was left behind\n" in told
    assert list(home.iterdir()) == []
    assert processes(home) == {}
