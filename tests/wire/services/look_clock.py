"""When `ExportfsService` looks at the kernel's table: when its test says so."""

from __future__ import annotations

import asyncio


class LookClock:
    """`protocols.clock.Clock` whose one sleeper, who looks at the table, wakes when the test says so."""

    def __init__(self) -> None:
        self._wake = asyncio.Semaphore(0)
        self._asleep = asyncio.Event()

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, duration_s: float) -> None:
        self._asleep.set()
        await self._wake.acquire()

    async def one_look(self) -> None:
        """Returns when it is done."""
        await self._asleep.wait()
        self._asleep.clear()
        self._wake.release()
        await self._asleep.wait()
