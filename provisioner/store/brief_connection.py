"""A connection to PostgreSQL that waits for a quick answer where it stands.

A server nearby answers most statements within a tenth of a millisecond. Going round the event loop for
each of them costs more than that, and beside a loop that always has something to compute every statement of
a transaction waits for its turn (measured: 86 transactions a second, against 843). So an answer is waited
for briefly with the loop held, and only what takes longer lets others go on.
"""

from __future__ import annotations

import select
import time
from asyncio import sleep
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg.waiting import READY_NONE, READY_R, READY_W, WAIT_R, WAIT_W

BRIEFLY_S = 0.001
SLICE_S = 0.004  # of holding the loop, all in all, then it gets a turn


class BriefConnection(psycopg.AsyncConnection[Any]):
    _held_since_s = 0.0

    async def wait(self, gen: Any, *arguments: Any, **named: Any) -> Any:
        """As psycopg's: drives a generator that yields what it waits for on the socket."""
        if time.monotonic() - self._held_since_s > SLICE_S:
            await sleep(0)
            self._held_since_s = time.monotonic()
        try:
            asked = next(gen)
            until = time.monotonic() + BRIEFLY_S
            while ready := _ready(self.pgconn.socket, asked, until):
                asked = gen.send(ready)
        except StopIteration as ended:
            return ended.value
        found = await super().wait(_going_on(gen, asked), *arguments, **named)
        self._held_since_s = time.monotonic()
        return found


def _ready(number: int, asked: int, until: float) -> int:
    """For what the socket is ready, of what is asked; READY_NONE when it isn't in time."""
    reading, writing = asked & WAIT_R, asked & WAIT_W
    poll = select.poll()
    poll.register(number, (select.POLLIN if reading else 0) | (select.POLLOUT if writing else 0))
    ready = int(READY_NONE)
    for _, events in poll.poll(max(0.0, until - time.monotonic()) * 1000):
        # A closed one is for its reader to find out.
        if events & ~select.POLLOUT:
            ready |= READY_R if reading else READY_W
        if events & select.POLLOUT:
            ready |= READY_W
    return ready


def _going_on(gen: Generator[Any, Any, Any], asked: Any) -> Generator[Any, Any, Any]:
    """The rest of `gen`, which has said already what it waits for."""
    try:
        while True:
            asked = gen.send((yield asked))
    except StopIteration as ended:
        return ended.value
