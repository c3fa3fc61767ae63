"""One command at a time to each device that bears no more, whoever asks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from provisioner.core.errors import DeviceBusy

WAIT_SHARE = 1 / 3
"""Of the time that a command may take, what it waits for its turn at most; then the device counts as busy."""


class Turn:
    """Of one device."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def taken(self, tried: str, device: str, longest_command_s: float) -> AsyncIterator[None]:
        """Raises DeviceBusy."""
        wait_s = WAIT_SHARE * longest_command_s
        try:
            async with asyncio.timeout(wait_s):
                await self._lock.acquire()
        except TimeoutError as error:
            answer = f"others have asked it for {wait_s:.1f} s already"
            advice = "If it goes on, look why it answers slowly: its network, or who else asks it"
            raise DeviceBusy(tried, device=device, answer=answer, advice=advice) from error
        try:
            yield
        finally:
            self._lock.release()


class Turns:
    """Of all devices of a driver, each while somebody has it in hand."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[Hashable, Turn] = WeakValueDictionary()

    def of(self, device: Hashable) -> Turn:
        turn = self._turns.get(device)
        if turn is None:
            turn = self._turns[device] = Turn()
        return turn
