"""A daemon that can't be started again at once is started later: whatever it takes, and told to who asks."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal

import pytest

from provisioner.core.errors import PermanentError, TransientError
from provisioner.protocols.clock import Clock
from provisioner.services import daemon as under_test
from provisioner.services.children import SystemChildren
from provisioner.services.daemon import Daemon
from provisioner.services.system import SystemClock
from tests.wire.services.conftest import play
from tests.wire.services.descriptors import descriptors_left
from tests.wire.services.segment import children_of

pytestmark = pytest.mark.wire


class Files:
    """What the daemon serves by, and what keeps it from being written."""

    def __init__(self) -> None:
        self.fault: OSError | None = None
        self.written = 0

    def write(self) -> None:
        if self.fault is not None:
            raise self.fault
        self.written += 1


@asynccontextmanager
async def daemon(
    files: Files, renewal: signal.Signals, prepare: Callable[[], None] = lambda: None, program: str = "sh"
) -> AsyncIterator[Daemon]:
    clock: Clock = SystemClock()
    made = Daemon(
        (program, "-c", "trap 'echo read >&2' HUP; echo read >&2; while :; do sleep 0.05; done"),
        SystemChildren(),
        clock,
        write=files.write,
        renewal=renewal,
        has_read=lambda line: line == "read",
        heard=lambda line: line,
        advice="Is another one running?",
        prepare=prepare,
    )
    with patience_of(60.0):
        await made.start()
    try:
        with patience_of(1.0):
            yield made
    finally:
        await made.stop()


@contextmanager
def patience_of(timeout_s: float) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(under_test, "START_TIMEOUT_S", timeout_s)
        patch.setattr(under_test, "RENEWAL_TIMEOUT_S", timeout_s)
        patch.setattr(under_test, "LAST_RESTART_S", 0.2)
        yield


async def told(service: Daemon, words: str) -> None:
    """Until it says so: it may be asked before its end was noticed, or its fault."""
    said = ""
    while not re.search(words, said):
        try:
            await service.renew()
        except TransientError as error:
            said = error.message


async def renewed(service: Daemon) -> None:
    """However long a slow machine takes to start it."""
    with patience_of(60.0):
        await service.renew()


@pytest.mark.parametrize("renewal", [signal.SIGHUP, signal.SIGKILL])
def test_one_that_no_process_could_be_made_for_is_started_when_one_can(renewal: signal.Signals) -> None:
    async def story() -> None:
        async with daemon(Files(), renewal) as service:
            (pid,) = children_of(os.getpid())
            with descriptors_left(0):
                os.kill(pid, signal.SIGKILL)
                await told(
                    service, r"have sh read its files: not read in 1 s; start sh: Too many open files\. "
                )
            await renewed(service)
            assert children_of(os.getpid()) not in ([], [pid])

    play(story)


@pytest.mark.parametrize("fails", ["write", "prepare"])
def test_files_that_cant_be_written_hold_up_a_restart_until_they_can(fails: str) -> None:
    files, preparing = Files(), Files()

    async def story() -> None:
        async with daemon(files, signal.SIGHUP, preparing.write) as service:
            (pid,) = children_of(os.getpid())
            failing = files if fails == "write" else preparing
            failing.fault = OSError(5, "Input/output error")
            os.kill(pid, signal.SIGKILL)
            while children_of(os.getpid()):
                await asyncio.sleep(0.01)
            await told(service, r"sh: \[Errno 5\] Input/output error")
            failing.fault = None
            await renewed(service)
            assert children_of(os.getpid()) not in ([], [pid])

    play(story)


def test_a_renewal_whose_files_cant_be_written_is_told_and_may_be_tried_again() -> None:
    files = Files()

    async def story() -> None:
        async with daemon(files, signal.SIGHUP) as service:
            files.fault = OSError(30, "Read-only file system")
            with pytest.raises(TransientError, match=r"write the files of sh: .*Read-only file system"):
                await service.renew()
            assert service.behind
            files.fault = None
            await renewed(service)
            assert not service.behind

    play(story)


class EndsJustThen(asyncio.Event):
    """The daemon has read its files, and its end is noticed before who waits for that has got a turn."""

    def __init__(self) -> None:
        super().__init__()
        self.set()
        self.ends = 1

    async def wait(self) -> Literal[True]:
        await super().wait()
        if self.ends:
            self.ends -= 1
            self.clear()
        return True


def test_a_renewal_goes_on_when_the_daemon_ends_just_as_it_begins() -> None:
    files = Files()

    async def story() -> None:
        async with daemon(files, signal.SIGHUP) as service:
            service._read, written = EndsJustThen(), files.written
            await renewed(service)
            assert files.written == written + 1
            assert not service.behind

    play(story)


def test_all_that_wait_for_a_renewal_are_told_at_once_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host publishes hundreds of nodes together: each would wait for the whole time anew."""
    waits, until_read = list[float](), Daemon._until_read

    async def counted(service: Daemon, timeout_s: float) -> None:
        waits.append(timeout_s)
        await until_read(service, timeout_s)

    async def story() -> None:
        preparing = Files()
        async with daemon(Files(), signal.SIGHUP, preparing.write) as service:
            (pid,) = children_of(os.getpid())
            preparing.fault = OSError(5, "Input/output error")
            os.kill(pid, signal.SIGKILL)
            await told(service, "Input/output error")
            waits.clear()
            monkeypatch.setattr(Daemon, "_until_read", counted)
            answers = await asyncio.gather(*(service.renew() for _ in range(20)), return_exceptions=True)
            assert all("Input/output error" in str(answer) for answer in answers)
            assert len(waits) == 1
            preparing.fault = None
            await renewed(service)
            assert not service.behind

    play(story)


def test_a_first_start_that_no_process_can_be_made_for_is_told() -> None:
    async def story() -> None:
        with pytest.raises(TransientError, match="start sh: Too many open files"), descriptors_left(0):
            async with daemon(Files(), signal.SIGHUP):
                pass

    play(story)


def test_one_whose_program_is_gone_is_started_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while its package is replaced."""
    program = tmp_path / "served"
    program.symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    async def story() -> None:
        async with daemon(Files(), signal.SIGHUP, program="served") as service:
            (pid,) = children_of(os.getpid())
            program.unlink()
            os.kill(pid, signal.SIGKILL)
            while children_of(os.getpid()):
                await asyncio.sleep(0.01)
            await told(service, "start served: it is not installed")
            program.symlink_to("/bin/sh")
            await renewed(service)

    play(story)


def test_a_program_that_was_never_there_is_told() -> None:
    async def story() -> None:
        async with daemon(Files(), signal.SIGHUP, program="no-such-program"):
            pass

    with pytest.raises(PermanentError, match="start no-such-program: it is not installed"):
        play(story)
