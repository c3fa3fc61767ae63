"""A window of time in which much may come and little is recorded; at its end, how much more there was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from provisioner.protocols.clock import Clock

log = structlog.get_logger(__name__)

K = TypeVar("K")

WINDOW_S = 60.0
WITHIN = f"more within {WINDOW_S:.0f} s"


class Counts(Generic[K]):
    """How often something came, of each of its first `most` kinds, and of all others together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.kinds: dict[K, int] = {}
        self.others = 0

    def add(self, kind: K) -> int:
        """How often it has come by now; 0: it is counted among the others."""
        if kind not in self.kinds and len(self.kinds) >= self._most:
            self.others += 1
            return 0
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        return self.kinds[kind]


class Window:
    """Opens with the first that comes, and is closed after WINDOW_S."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._opened = asyncio.Event()

    def open(self) -> None:
        self._opened.set()

    def closed(self) -> None:
        self._opened.clear()

    async def run(self, close: Callable[[], Awaitable[None]]) -> None:
        """Until cancelled."""
        while True:
            await self._opened.wait()
            await self._clock.sleep(WINDOW_S)
            try:
                await close()
            except Exception as error:
                # What came in this window isn't counted; what comes in others is.
                log.exception("audit.not_counted", cause=str(error))
