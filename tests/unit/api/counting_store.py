"""A store that counts what each transaction reads and adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from provisioner.core.model import Record
from provisioner.protocols.store import Store, Tx, Watch

T = TypeVar("T")


class CountingStore:
    """rows, whole, added: for each transaction, how many rows it read, how many records of these with all
    their fields, and how many it added, though it may be undone. What is only counted is no row; counts:
    how often something was."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.rows: list[int] = []
        self.whole: list[int] = []
        self.added: list[int] = []
        self.counts: list[int] = []

    async def transact(self, work: Callable[[Tx], T]) -> T:
        def counted(tx: Tx) -> T:
            seen = _CountingTx(tx)
            try:
                return work(seen)
            finally:
                self.rows.append(seen.rows)
                self.whole.append(seen.whole)
                self.added.append(seen.added)
                self.counts.append(seen.counts)

        return await self._store.transact(counted)

    async def settled(self, kind: type[Record]) -> int:
        return await self._store.settled(kind)

    def watch(self, *topics: str) -> Watch:
        return self._store.watch(*topics)

    async def close(self) -> None:
        await self._store.close()


class _CountingTx:
    def __init__(self, tx: Any) -> None:
        self._tx = tx
        self.rows = 0
        self.whole = 0
        self.added = 0
        self.counts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def find(self, *given: Any, **named: Any) -> list[Any]:
        found: list[Any] = self._tx.find(*given, **named)
        self.rows += len(found)
        self.whole += len(found)
        return found

    def pick(self, *given: Any, **named: Any) -> list[Any]:
        found: list[Any] = self._tx.pick(*given, **named)
        self.rows += len(found)
        return found

    def count(self, *given: Any, **named: Any) -> int:
        self.counts += 1
        found: int = self._tx.count(*given, **named)
        return found

    def insert(self, *records: Any) -> None:
        self.added += len(records)
        self._tx.insert(*records)
