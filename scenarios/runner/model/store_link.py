"""A compute host's way to the store that all share: what is asked may not arrive, and answers may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from provisioner.core.errors import TransientError
from provisioner.core.model import Record
from provisioner.protocols.store import Tx, Watch
from provisioner.store.memory import MemoryStore
from scenarios.runner.model.host_disk import HostDisk
from scenarios.runner.model.wires import Link, Wires

T = TypeVar("T")

ANSWER_S = 4.0
"""A client gives up then."""

RECONNECT_S = 2.0


class StoreLink:
    """`provisioner.protocols.store.Store`, from one host."""

    def __init__(self, store: MemoryStore, wires: Wires, host: str, disk: HostDisk | None = None) -> None:
        """disk: the host's own, when the database lies there."""
        self._store = store
        self._disk = disk
        self._wires = wires
        self._link = Link("store", host, "")

    def transact(self, work: Callable[[Tx], T]) -> Coroutine[Any, Any, T]:
        """Also when the error says that there was no answer, it may have been done."""
        stored = self._on_disk(work)
        return self._carried(stored) if self._wires.faulty else self._store.transact(stored)

    def transact_first(self, work: Callable[[Tx], T]) -> Coroutine[Any, Any, T]:
        return self.transact(work)

    async def settled(self, kind: type[Record]) -> int:
        if self._wires.faulty:
            await self._cross(True)
            await self._cross(False)
        return await self._store.settled(kind)

    async def _carried(self, stored: Callable[[Tx], T]) -> T:
        await self._cross(True)
        result = await self._store.transact(stored)
        await self._cross(False)
        return result

    def _on_disk(self, work: Callable[[Tx], T]) -> Callable[[Tx], T]:
        disk = self._disk
        return work if disk is None or not disk.full else lambda tx: work(disk.of_database(tx))

    async def _cross(self, to_store: bool) -> None:
        journey = self._wires.journey(self._link, to_store)
        if journey and journey[0] < ANSWER_S:
            await asyncio.sleep(journey[0])
            return
        await asyncio.sleep(ANSWER_S)
        raise TransientError(
            "use the database", answer=f"no answer in {ANSWER_S:g} s", advice="Is the database reachable?"
        )

    def watch(self, *topics: str) -> LinkedWatch:
        return LinkedWatch(self._store.watch(*topics), lambda: self._wires.cut(self._link))

    async def close(self) -> None:
        """The store is others' as well."""


class LinkedWatch:
    """`provisioner.protocols.store.Watch`: news that come while the way is cut come when it no longer is."""

    def __init__(self, watch: Watch, cut: Callable[[], bool]) -> None:
        self._watch = watch
        self._cut = cut
        self._late = False

    async def wait(self, timeout_s: float) -> bool:
        heard = await self._watch.wait(min(RECONNECT_S, timeout_s) if self._late else timeout_s)
        heard = heard or self._late
        self._late = heard and self._cut()
        return heard and not self._late

    def close(self) -> None:
        self._watch.close()
