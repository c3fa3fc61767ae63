"""Tasks that end together."""

from __future__ import annotations

import asyncio
from collections.abc import Collection


async def stop_tasks(tasks: Collection[asyncio.Task[None]]) -> None:
    """Returns when all have ended, whatever becomes of them. Whoever cancels it meanwhile is heard."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
