"""Two processes that meet at the locks of images: two stores on one folder, since flock is per open file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provisioner.services import image_locks


class Waiting:
    """Knows when somebody has to wait for a lock of images."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen = asyncio.Event()
        locked = image_locks.locked

        def watched(path: Path) -> int | None:
            descriptor = locked(path)
            if descriptor is None:
                self.seen.set()
            return descriptor

        monkeypatch.setattr(image_locks, "locked", watched)
        monkeypatch.setattr(image_locks, "POLL_S", 0.001)

    async def or_end_of(self, task: asyncio.Task[Any]) -> None:
        waits = asyncio.create_task(self.seen.wait())
        async with asyncio.timeout(20):
            await asyncio.wait((task, waits), return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()


def refusing(number: int) -> Callable[[int, int], None]:
    """A flock that ends with this error."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    return flock
