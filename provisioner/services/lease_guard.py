"""Ends a compute host's children when its lease has run out: a process that stands still can't do it itself,
and its DHCP server would answer, its images be written, while another host has taken over. And ends what they
have started when the process was killed: the kernel ends the children alone.

`lease_guard_program` is the process beside it. It is told by a pipe, which has room when a disk has none.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog

from provisioner.core.errors import ProvisionerError
from provisioner.protocols.children import Child
from provisioner.services import lease_guard_program
from provisioner.services.children import SystemChildren

log = structlog.get_logger(__name__)

RESTART_S = 0.2
LAST_RESTART_S = 2.0


@asynccontextmanager
async def lease_guard() -> AsyncIterator[LeaseGuard]:
    guard = LeaseGuard()
    async with AsyncExitStack() as stack:
        stack.callback(guard.close)
        # Inside of it, since what a failed start raises is the caller's to hear.
        first = await stack.enter_async_context(guard.started())
        keeping = asyncio.create_task(guard.keep(first), name="lease guard")
        try:
            yield guard
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping


class LeaseGuard:
    """One process at a time; started anew when it has ended, as by a kernel that ran out of memory.

    children: those that end with the lease. Others of this process don't.
    """

    def __init__(self) -> None:
        # One pipe for all of its processes: what none of them has read, the next one reads.
        self._reads, self._pipe = os.pipe2(os.O_CLOEXEC)
        # Never wait for a guard that stands still: what it doesn't hear makes it end children too early.
        os.set_blocking(self._pipe, False)
        self._ends_at_s: float | None = None
        self.children = SystemChildren(self._pipe)

    def close(self) -> None:
        os.close(self._pipe)
        os.close(self._reads)

    @asynccontextmanager
    async def started(self) -> AsyncIterator[Child]:
        # It outlives us, for as long as it takes to end what our children have started.
        # -I -S: nothing of the folder that we were started in, nor installed packages, whose paths take
        # memory.
        argv = ("setpriv", "--pdeathsig", "clear", sys.executable, "-I", "-S", lease_guard_program.__file__)
        async with SystemChildren().started(argv, stdin=self._reads) as child:
            # What the one before had heard.
            for pid in self.children.running:
                self._tell(f"child {pid}")
            if self._ends_at_s is not None:
                self.lasts_until(self._ends_at_s)
            yield child

    async def keep(self, child: Child) -> None:
        """Until cancelled."""
        log.error("lease_guard.ended", code=await child.wait())
        pause_s = RESTART_S
        while True:
            await asyncio.sleep(pause_s)
            try:
                async with self.started() as child:
                    pause_s = RESTART_S
                    log.warning("lease_guard.started_anew")
                    log.error("lease_guard.ended", code=await child.wait())
            except (OSError, ProvisionerError) as error:
                # What ended it, such as want of memory, may last.
                pause_s = min(2 * pause_s, LAST_RESTART_S)
                log.error("lease_guard.not_started", cause=str(error))

    def lasts_until(self, ends_at_s: float) -> None:
        """To be told the end of the lease, in monotonic seconds, at each renewal. Until it is told something,
        nothing is ended."""
        self._ends_at_s = ends_at_s
        self._tell(f"lease {ends_at_s!r}")

    def _tell(self, words: str) -> None:
        try:
            os.write(self._pipe, f"{words}\n".encode())
        except OSError as error:
            log.error("lease_guard.deaf", cause=error.strerror)
