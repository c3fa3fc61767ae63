"""What the store in memory tells its watcher, besides the contract that all stores keep."""

from __future__ import annotations

import asyncio

import pytest

from provisioner.core.model import Flavor, Record
from provisioner.store.memory import MemoryStore
from tests.unit.records import NOW

SMALL = Flavor(id="f", name="small", cpus=1, memory_mib=512, disk_mib=1024)


def test_a_change_is_told_once_stored_as_it_was_and_as_it_is() -> None:
    told: list[tuple[Record | None, Record | None]] = []

    async def story() -> None:
        store = MemoryStore(lambda: NOW, lambda before, after: told.append((before, after)))
        await store.transact(lambda tx: tx.insert(SMALL))
        await store.transact(
            lambda tx: (tx.update(Flavor, "f", {"cpus": 2}), tx.update(Flavor, "f", {"cpus": 4}))
        )
        await store.transact(lambda tx: tx.delete(Flavor, "f"))

    asyncio.run(story())
    assert [
        (before and before.cpus, after and after.cpus)  # type: ignore[union-attr]
        for before, after in told
    ] == [(None, 1), (1, 4), (4, None)]


def test_what_was_rolled_back_is_not_told() -> None:
    told: list[tuple[Record | None, Record | None]] = []

    async def story() -> None:
        store = MemoryStore(lambda: NOW, lambda before, after: told.append((before, after)))
        with pytest.raises(ZeroDivisionError):
            await store.transact(lambda tx: (tx.insert(SMALL), 1 // 0))

    asyncio.run(story())
    assert told == []
