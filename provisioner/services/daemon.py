"""A daemon of our own that serves by files which we write: kept running, and told when they change."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from errno import ENOSPC
from pathlib import Path

import structlog

from provisioner.core.errors import PermanentError, ProvisionerError, TransientError
from provisioner.protocols.children import Child, Children, ending
from provisioner.protocols.clock import Clock
from provisioner.services.durable import sync_folder
from provisioner.services.full_disk import storage_full_told

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 10.0
RENEWAL_TIMEOUT_S = 10.0
FIRST_RESTART_S = 0.2
LAST_RESTART_S = 10.0


class Daemon:
    """Its log, on standard error, says when it has read its files: that is waited for."""

    def __init__(
        self,
        argv: Sequence[str],
        children: Children,
        clock: Clock,
        *,
        write: Callable[[], None],
        renewal: signal.Signals,
        has_read: Callable[[str], bool],
        heard: Callable[[str], str],
        advice: str,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """write:    writes its files, as they should be by now
        renewal:  makes it read them again; SIGKILL for one that must be started anew, which takes no pause
        has_read: this line of its log says that it has read all of them, after a start or a renewal
        heard:    is given each line of its log; returns what of it may be shown when it fails, or nothing
        advice:   what an operator does about a first start that fails
        prepare:  what is done before each start of it, by whatever cause
        """
        self._argv = tuple(argv)
        self._children = children
        self._clock = clock
        self._write = write
        self._renewal = renewal
        self._has_read = has_read
        self._hear = heard
        self._advice = advice
        self._prepare = prepare
        self._wanted = self._applied = self._failed = 0
        self._failure = ""
        self._turn = asyncio.Lock()
        self._read = asyncio.Event()
        self._has_started = False
        self._replacing = False  # its next end is ours
        self._last_words = ""
        self._fault = ""  # why it couldn't be started again
        self._child: Child | None = None
        self._supervisor: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when it serves. Raises PermanentError when it ends instead, TransientError when this system
        has no room for it or its files."""
        self._write_files()
        self._supervisor = asyncio.create_task(self._supervise(), name=self._argv[0])
        try:
            await self._until_read(START_TIMEOUT_S)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            with suppress(asyncio.CancelledError, ProvisionerError):
                await self._supervisor
            self._supervisor = None

    @property
    def behind(self) -> bool:
        """Whether something has changed that isn't in force: a renewal failed, or is under way."""
        return self._applied < self._wanted

    async def renew(self) -> None:
        """Returns when what its files should say by now is in force. Changes that come while it reads are
        read together, at once after that. Raises TransientError when it doesn't read them in time, or they
        can't be written; all that wait meanwhile are told so at once."""
        self._wanted += 1
        wanted = self._wanted
        async with self._turn:
            if self._applied >= wanted:
                return
            if self._failed >= wanted:
                # It was tried for this one as well: to wait anew for each would take a host hours.
                raise TransientError(f"have {self._argv[0]} read its files", answer=self._failure)
            try:
                self._applied = await self._renewed()
            except TransientError as error:
                self._failed, self._failure = self._wanted, error.answer
                raise

    async def _renewed(self) -> int:
        """How many changes it has read."""
        # One that was just started may have read the old files, and not have said so yet.
        await self._until_read(START_TIMEOUT_S)
        included = self._wanted
        self._write_files()
        self._read.clear()
        if self._child is not None:
            self._replacing = self._renewal is signal.SIGKILL
            self._child.signal(self._renewal)
        await self._until_read(RENEWAL_TIMEOUT_S)
        return included

    async def _until_read(self, timeout_s: float) -> None:
        assert self._supervisor is not None
        reading = asyncio.ensure_future(self._read.wait())
        try:
            done, _ = await asyncio.wait(
                (reading, self._supervisor), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            reading.cancel()
        # It has read them, also where its end was noticed since: that is waited for next, and no time was up.
        if reading in done or self._read.is_set():
            return
        if self._supervisor.done():
            self._supervisor.result()
        state = self._fault or f"it last said: {self._last_words or 'nothing'}"
        raise TransientError(
            f"have {self._argv[0]} read its files", answer=f"not read in {timeout_s:.0f} s; {state}"
        )

    def _write_files(self) -> None:
        """Raises TransientError."""
        with self._system_fault_told("write the files of"):
            self._write()

    @contextmanager
    def _system_fault_told(self, tried: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # Which file is part of what an operator has to know.
            raise TransientError(f"{tried} {self._argv[0]}", answer=str(error)) from error

    async def _supervise(self) -> None:
        """Keeps it running, whatever a restart meets. Raises ProvisionerError when its first start fails."""
        delay_s = FIRST_RESTART_S
        while True:
            began_s = self._clock.monotonic_s()
            try:
                code = await self._run_once()
            except ProvisionerError as error:
                if not self._has_started:
                    raise
                self._fault = error.message
                log.error("daemon.not_started", program=self._argv[0], cause=error.message)
            else:
                if not self._has_started:
                    raise PermanentError(
                        f"start {self._argv[0]}",
                        answer=self._last_words or ending(code),
                        advice=self._advice,
                    )
                if self._replacing:
                    self._replacing = False
                    continue
                log.warning("daemon.ended", program=self._argv[0], code=code, cause=self._last_words)
            self._replacing = False
            self._read.clear()
            if self._clock.monotonic_s() - began_s > LAST_RESTART_S:
                delay_s = FIRST_RESTART_S
            while True:
                await self._clock.sleep(delay_s)
                delay_s = min(2 * delay_s, LAST_RESTART_S)
                try:
                    # It may have ended with a lease: what it served then is another host's to serve now.
                    self._write_files()
                    break
                except ProvisionerError as error:
                    self._fault = error.message
                    log.error("daemon.not_written", program=self._argv[0], cause=error.message)

    async def _run_once(self) -> int:
        """Its exit code. Raises ProvisionerError when it can't be started."""
        self._last_words = ""
        async with AsyncExitStack() as stack:
            with self._system_fault_told("start"):
                self._prepare()
                child = await stack.enter_async_context(self._children.started(self._argv))
            self._child, self._fault = child, ""
            try:
                while line := await _line(child.stderr):
                    self._last_words = self._hear(line) or self._last_words
                    if self._has_read(line):
                        self._has_started = True
                        self._read.set()
                return await child.wait()
            finally:
                self._child = None


async def _line(stream: asyncio.StreamReader) -> str:
    """The next line without its end; empty at the end of the stream. A line too long is cut."""
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # longer than the stream's buffer, which readline has emptied
            continue
        if not line or line.strip():
            return line.decode("utf-8", "replace").rstrip()


def replace_file(path: Path, text: str, *, durable: bool = False) -> None:
    """Never half written, and readable by us alone: what nodes boot by may be a secret. durable: it is on the
    disk when this returns; what is written anew at each start needn't be.

    On a full disk the old file is written over when the new text is no longer: what is withdrawn must not go
    on because of it. Raises StorageFull when it is longer.
    """
    new, words = path.with_suffix(".new"), text.encode()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with storage_full_told(f"write {path.name}", path.parent, "Make room on its file system"):
        try:
            with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
                file.write(words)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            new.replace(path)
            if durable:
                sync_folder(path.parent)
        except OSError as error:
            new.unlink(missing_ok=True)
            if error.errno != ENOSPC or not path.exists() or path.stat().st_size < len(words):
                raise
            with path.open("r+b") as file:
                file.write(words)
                file.truncate()
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
