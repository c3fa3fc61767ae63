"""Ends a provisioner's children when its lease has run out: a process that stands still can't do it itself,
and its DHCP server would answer, its images be written, while another host has taken over.

A process beside the provisioner, which reads the end of the lease from a file. As a program:
`python -m provisioner.services.lease_guard PID FILE`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # as a program it finds the standard library alone
    from provisioner.protocols.children import Children

LOOK_S = 0.1

SPARED = ("ganesha.nfsd",)
"""Serves roots that running machines have mounted; that another host serves them as well harms nobody."""


@asynccontextmanager
async def lease_guard(file: Path, children: Children) -> AsyncIterator[Callable[[float], None]]:
    """Gives what is to be told the end of the lease, in monotonic seconds, at each renewal. Until it is told
    something, nothing is ended."""
    file.unlink(missing_ok=True)  # noqa: ASYNC240 - a local file, before anything is served

    def lasts_until(ends_at_s: float) -> None:
        new = file.with_suffix(".new")
        new.write_text(f"{ends_at_s!r}\n")
        new.replace(file)

    # -I -S: nothing of the folder that we were started in, nor installed packages, whose paths take memory.
    argv = (sys.executable, "-I", "-S", str(Path(__file__)), str(os.getpid()), str(file))
    async with children.started(argv):
        yield lasts_until


def main(parent: int, file: Path) -> None:
    """Until it is killed, with its parent at the latest."""
    while True:
        time.sleep(LOOK_S)
        with contextlib.suppress(OSError, ValueError):
            if time.monotonic() > float(file.read_text()):
                for pid in _children_of(parent):
                    os.killpg(pid, signal.SIGKILL)


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
    main(int(sys.argv[1]), Path(sys.argv[2]))
