"""Ends a provisioner's children when its lease has run out: a process that stands still can't do it itself,
and its DHCP server would answer, its images be written, while another host has taken over.

`lease_guard_program` is the process beside it. It is told by a pipe, which has room when a disk has none.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog

from provisioner.core.errors import ProvisionerError
from provisioner.protocols.children import Child, Children
from provisioner.services import lease_guard_program

log = structlog.get_logger(__name__)

RESTART_S = 0.2
LAST_RESTART_S = 2.0


@asynccontextmanager
async def lease_guard(children: Children) -> AsyncIterator[Callable[[float], None]]:
    """Gives what is to be told the end of the lease, in monotonic seconds, at each renewal. Until it is told
    something, nothing is ended."""
    guard = _Guard(children)
    async with AsyncExitStack() as stack:
        # Inside of it, since what a failed start raises is the caller's to hear.
        first = await stack.enter_async_context(guard.started())
        keeping = asyncio.create_task(guard.keep(first), name="lease guard")
        try:
            yield guard.lasts_until
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping


class _Guard:
    """One at a time; started anew when it has ended, as by a kernel that ran out of memory."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self._pipe = -1
        self._ends_at_s: float | None = None

    @asynccontextmanager
    async def started(self) -> AsyncIterator[Child]:
        reads, self._pipe = os.pipe2(os.O_CLOEXEC)
        # Never wait for a guard that stands still: what it doesn't hear makes it end children too early.
        os.set_blocking(self._pipe, False)
        # -I -S: nothing of the folder that we were started in, nor installed packages, whose paths take
        # memory.
        argv = (sys.executable, "-I", "-S", lease_guard_program.__file__, str(os.getpid()))
        async with AsyncExitStack() as stack:
            stack.callback(self._close, self._pipe)
            try:
                child = await stack.enter_async_context(self._children.started(argv, stdin=reads))
            finally:
                os.close(reads)
            if self._ends_at_s is not None:
                self.lasts_until(self._ends_at_s)
            yield child

    def _close(self, pipe: int) -> None:
        if self._pipe == pipe:
            self._pipe = -1
        os.close(pipe)

    async def keep(self, child: Child) -> None:
        """Until cancelled."""
        log.error("lease_guard.ended", code=await child.wait())
        pause_s = RESTART_S
        while True:
            await asyncio.sleep(pause_s)
            try:
                async with self.started() as child:
                    pause_s = RESTART_S
                    log.error("lease_guard.ended", code=await child.wait())
            except (OSError, ProvisionerError) as error:
                # What ended it, such as want of memory, may last.
                pause_s = min(2 * pause_s, LAST_RESTART_S)
                log.error("lease_guard.not_started", cause=str(error))

    def lasts_until(self, ends_at_s: float) -> None:
        self._ends_at_s = ends_at_s
        try:
            os.write(self._pipe, struct.pack(lease_guard_program.FORMAT, ends_at_s))
        except OSError as error:
            log.error("lease_guard.deaf", cause=error.strerror)
