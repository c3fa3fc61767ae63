"""Every store is held to the same contract. To add one, name its URL here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from provisioner.protocols.store import Store
from provisioner.store import open_store

T = TypeVar("T")


class TickingClock:
    """A wall clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.time = datetime(2024, 2, 29, 23, 59, 50, 123456, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


class Stores:
    """Opens stores of one kind, each in its own event loop, and closes them."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.clock = TickingClock()
        self._folder = folder
        self._number = 0

    def url(self) -> str:
        """Of a store that is still empty."""
        self._number += 1
        return "memory:" if self.kind == "memory" else f"sqlite:///{self._folder}/store-{self._number}.db"

    def play(self, story: Callable[[Store], Awaitable[T]], url: str | None = None) -> T:
        """What `story` gives on an open store (a fresh one when no `url` is named)."""

        async def main() -> T:
            store = open_store(url or self.url(), wall_clock=self.clock)
            try:
                async with asyncio.timeout(60):
                    return await story(store)
            finally:
                await store.close()

        return asyncio.run(main())


@pytest.fixture(params=["memory", "sqlite"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return Stores(request.param, tmp_path)
