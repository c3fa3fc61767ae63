"""What several hosts do with one database, all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from provisioner.core.model import Node
from provisioner.protocols.store import Store, Tx
from provisioner.store import open_store

T = TypeVar("T")


def play(url: str, *stories: Callable[[Store], Awaitable[T]]) -> list[T]:
    """Each story on a store of its own, as processes have them, all at once."""

    async def main() -> list[T]:
        stores = [open_store(url) for _ in stories]
        try:
            async with asyncio.timeout(60):
                return list(
                    await asyncio.gather(*(story(s) for story, s in zip(stories, stores, strict=True)))
                )
        finally:
            for store in stores:
                await store.close()

    return asyncio.run(main())


def increment(tx: Tx) -> int:
    found = tx.get(Node, "id-a")
    assert found is not None
    assert tx.update(Node, "id-a", {"fence": found.fence + 1})
    return found.fence
