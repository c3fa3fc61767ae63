"""A database server that is stopped, and comes back after a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol


class Server(Protocol):
    """Both return when it is done, and may be called in any thread."""

    def stop(self) -> None: ...

    def start(self) -> None: ...


class Outages:
    """Of one server, one after the other."""

    def __init__(self) -> None:
        self._last: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()

    async def begin(self, server: Server, down_s: float, stopped: Callable[[], None]) -> None:
        """Returns when it is down, and has called `stopped`. Who is cancelled here has begun it all the same,
        since the thread that stops a server goes on: `over` waits for its end."""
        is_down = asyncio.Event()
        self._last = asyncio.create_task(self._pass(server, down_s, stopped, is_down))
        await is_down.wait()
        if self._last.done():  # it couldn't be stopped
            await self._last

    async def _pass(
        self, server: Server, down_s: float, stopped: Callable[[], None], is_down: asyncio.Event
    ) -> None:
        try:
            await asyncio.to_thread(server.stop)
            stopped()
        finally:
            is_down.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._leaving.wait(), down_s)
            return
        await asyncio.to_thread(server.start)

    async def over(self) -> None:
        """Returns when the server is up again. Raises what its start or its stop has raised."""
        if self._last is not None:
            # It comes back, even if nobody waits for that any more.
            await asyncio.shield(self._last)

    async def leave(self) -> None:
        """The server doesn't come back any more. Raises nothing: `over` tells how it ended."""
        self._leaving.set()
        if self._last is not None:
            # Not cancelled: the thread that starts a server would go on.
            await asyncio.wait([self._last])
