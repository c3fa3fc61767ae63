"""Ends a provisioner's children when its lease has run out: a process that stands still can't do it itself,
and its DHCP server would answer, its images be written, while another host has taken over.

`lease_guard_program` is the process beside it. It is told by a pipe, which has room when a disk has none.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from provisioner.protocols.children import Children
from provisioner.services import lease_guard_program

log = structlog.get_logger(__name__)


@asynccontextmanager
async def lease_guard(children: Children) -> AsyncIterator[Callable[[float], None]]:
    """Gives what is to be told the end of the lease, in monotonic seconds, at each renewal. Until it is told
    something, nothing is ended."""
    reads, writes = os.pipe2(os.O_CLOEXEC)
    # Never wait for a guard that stands still: what it doesn't hear makes it end children too early.
    os.set_blocking(writes, False)

    def lasts_until(ends_at_s: float) -> None:
        try:
            os.write(writes, struct.pack(lease_guard_program.FORMAT, ends_at_s))
        except OSError as error:
            log.error("lease_guard.deaf", cause=error.strerror, advice="Start this compute host anew")

    # -I -S: nothing of the folder that we were started in, nor installed packages, whose paths take memory.
    argv = (sys.executable, "-I", "-S", lease_guard_program.__file__, str(os.getpid()))
    async with AsyncExitStack() as stack:
        stack.callback(os.close, writes)
        try:
            await stack.enter_async_context(children.started(argv, stdin=reads))
        finally:
            os.close(reads)
        yield lasts_until
