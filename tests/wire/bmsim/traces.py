"""What a rack could leave behind, and waiting for a condition."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

MARK = "BMSIM_TEST"
DEADLINE_S = 30.0

T = TypeVar("T")


def eventually(what: str, look: Callable[[], T]) -> T:
    """Polls until `look` gives something true."""
    end = time.monotonic() + DEADLINE_S
    while not (found := look()):
        assert time.monotonic() < end, f"not within {DEADLINE_S:.0f} s: {what}"
        time.sleep(0.02)
    return found


FAMILY = ("unshare", "init", "supervisor")
"""The processes that a rack begins with, each one the parent of the next."""


def family(init: int) -> dict[str, int]:
    """Process ids of a rack's FAMILY, by that of its first process inside."""
    parent = Path(f"/proc/{init}/stat").read_text().rpartition(")")[2].split()[1]
    child = Path(f"/proc/{init}/task/{init}/children").read_text().split()[0]
    return dict(zip(FAMILY, (int(parent), init, int(child)), strict=True))


def processes(mark: str) -> dict[int, str]:
    """Command lines of all living processes with the mark but ourselves, by id."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def system(own: Path) -> tuple[list[str], list[str], list[str]]:
    """Interfaces, mounts and named namespaces of this system. own: a test's folder in pytest's; what is
    mounted in others' there comes and goes with their tests."""
    links = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    names = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    of_all_tests = own.parents[1]
    mounts = [one for one in mounts if own in Path(one).parents or of_all_tests not in Path(one).parents]
    return sorted(line.split()[0] for line in links.splitlines()), sorted(mounts), names.splitlines()


@contextmanager
def held_namespaces(mark: str) -> Iterator[set[int]]:
    """The network namespaces that processes with the mark are in, but our own. Held: the number of one that
    has ended goes to the next that anybody makes."""
    with ExitStack() as stack:
        found = set()
        for pid in processes(mark):
            with suppress(FileNotFoundError, ProcessLookupError):
                namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
                stack.callback(os.close, namespace)
                found.add(os.fstat(namespace).st_ino)
        yield found - {Path("/proc/self/ns/net").stat().st_ino}


def network_namespaces() -> set[int]:
    """Those that some process is in."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found.add((folder / "ns/net").stat().st_ino)
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return found
