"""What a provisioner has started ends with its lease, also when the provisioner itself stands still."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from tests.wire.bmsim.traces import eventually

pytestmark = pytest.mark.wire

PROVISIONER = """
import asyncio, os, structlog, sys
from provisioner.services.children import SystemChildren
from provisioner.services.lease_guard import lease_guard
from provisioner.services.system import SystemClock

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def main():
    async with lease_guard() as guard, SystemChildren().started(["sleep", "1000"]) as other:
        async with guard.children.started(sys.argv[1:]) as service:
            print(os.getpid(), service.pid, other.pid, flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                guard.lasts_until(SystemClock().monotonic_s() + float(line))
                print("told", flush=True)
            await service.wait()

asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Provisioner:
    pid: int
    other: int
    commands: IO[str]
    answers: IO[str]

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


SUSPENDED_BEFORE = ("unshare", "--time", "--boottime", "1000", "--fork", "--kill-child")
"""What a machine's clocks are like that was once suspended for so many seconds."""


@contextmanager
def provisioner(
    *below: str, program: Sequence[str] = ("sleep", "1000"), stderr: IO[str] | None = None
) -> Iterator[tuple[Provisioner, int]]:
    """One that has a child which runs `program`, and the child's process id; and an `other` child, whose end
    isn't its lease's."""
    pipe = subprocess.PIPE
    argv = [*below, sys.executable, "-c", PROVISIONER, *program]
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=stderr, text=True) as process:
        try:
            assert process.stdin is not None and process.stdout is not None
            pid, child, other = map(int, process.stdout.readline().split())
            yield Provisioner(pid, other, process.stdin, process.stdout), child
        finally:
            process.kill()


def tell(process: Provisioner, left_s: float) -> None:
    process.commands.write(f"{left_s}\n")
    process.commands.flush()
    assert process.answers.readline() == "told\n"


def guards_of(process: Provisioner) -> list[int]:
    """The children of it that run as Python, no longer as what started it: the other one sleeps."""
    found = []
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        with suppress(OSError):  # it has just ended
            if is_guard(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")):
                found.append(int(pid))
    return found


def guard_of(process: Provisioner) -> int:
    """The provisioner doesn't wait until it runs."""
    (guard,) = eventually("its guard runs", lambda: guards_of(process))
    return guard


def is_guard(argv: list[bytes]) -> bool:
    return argv[0] == sys.executable.encode() and any(b"lease_guard" in word for word in argv)


def await_another_guard(process: Provisioner, killed: int, log: Path) -> None:
    """One that has been told of the children."""
    eventually("another one is told", lambda: "lease_guard.started_anew" in log.read_text())
    eventually("another one runs", lambda: guards_of(process) not in ([], [killed]))


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter where it ends while it is read
        return False


def test_children_of_one_that_stands_still_end_with_its_lease() -> None:
    with provisioner() as (process, child):
        tell(process, 600.0)
        begun_s = time.monotonic()
        tell(process, 0.5)
        os.kill(process.pid, signal.SIGSTOP)
        eventually("its child has ended", lambda: not runs(child))
        assert time.monotonic() - begun_s >= 0.4
        assert runs(process.other)


def test_the_lease_ends_no_later_on_a_machine_that_was_suspended() -> None:
    with provisioner(*SUSPENDED_BEFORE) as (process, child):
        tell(process, 600.0)
        assert runs(child)
        tell(process, 0.5)
        os.kill(process.pid, signal.SIGSTOP)
        eventually("its child has ended", lambda: not runs(child))


def test_nothing_ends_before_a_lease_was_told_or_while_it_is_renewed() -> None:
    with provisioner() as (process, child):
        assert runs(child)
        for _ in range(20):
            tell(process, 600.0)
        assert runs(child)


def test_a_lease_that_is_renewed_after_its_end_ends_nothing_more() -> None:
    with provisioner() as (process, child):
        tell(process, 0.0)
        eventually("its child has ended", lambda: not runs(child))
        tell(process, 600.0)
        eventually("its guard lives", lambda: any(map(runs, guards_of(process))))


def test_a_guard_that_was_killed_is_started_anew(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as complaints, provisioner(stderr=complaints) as (process, child):
        tell(process, 600.0)
        killed = guard_of(process)
        os.kill(killed, signal.SIGKILL)
        await_another_guard(process, killed, log)
        assert runs(child)
        tell(process, 0.5)
        os.kill(process.pid, signal.SIGSTOP)
        eventually("its child has ended with the lease", lambda: not runs(child))


def test_a_guard_that_cant_be_started_at_once_is_started_when_it_can(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as complaints, provisioner(stderr=complaints) as (process, child):
        tell(process, 600.0)
        killed = guard_of(process)
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, hard))  # what is open already stays
        os.kill(killed, signal.SIGKILL)
        eventually("it was tried twice", lambda: log.read_text().count("lease_guard.not_started") >= 2)
        assert "Too many open files" in log.read_text()
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (hard, hard))
        await_another_guard(process, killed, log)
        tell(process, 0.5)
        os.kill(process.pid, signal.SIGSTOP)
        eventually("its child has ended with the lease", lambda: not runs(child))


SCRIPT = ("sh", "-c", "set -m; sleep 1000 & sleep 1000; exit")
"""Of which the kernel ends the shell alone. One of its processes leads a group of its own."""


def members(session: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, _, own, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(own) == session and state != "Z":
                found.append(int(entry.name))
    return found


def test_the_guard_ends_what_a_killed_provisioner_has_left_and_then_itself() -> None:
    with provisioner(program=SCRIPT) as (process, child):
        eventually("its script runs", lambda: len(members(child)) == 3)
        guard = guard_of(process)
        process.kill()
        eventually("all have ended", lambda: not members(child) and not runs(guard))


def test_with_the_lease_ends_what_a_child_has_started() -> None:
    with provisioner(program=SCRIPT) as (process, child):
        eventually("its script runs", lambda: len(members(child)) == 3)
        tell(process, 0.0)
        eventually("all have ended", lambda: not members(child))


def test_a_guard_that_was_started_anew_knows_the_children_from_before(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as complaints, provisioner(program=SCRIPT, stderr=complaints) as (process, child):
        eventually("its script runs", lambda: len(members(child)) == 3)
        killed = guard_of(process)
        os.kill(killed, signal.SIGKILL)
        await_another_guard(process, killed, log)
        tell(process, 600.0)
        process.kill()
        eventually("all have ended", lambda: not members(child))
