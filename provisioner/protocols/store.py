from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from provisioner.core.model import Record

R = TypeVar("R", bound=Record)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Since:
    """In `where` and `expect`: that time, or a later one."""

    at: datetime

    def __contains__(self, time: datetime) -> bool:
        return time >= self.at


class Tx(Protocol):
    """One transaction, seen from inside. Everything here is synchronous and pure of side effects
    outside the store, since the store may run it again."""

    def now(self) -> datetime:
        """The store's wall clock (aware, UTC), the only wall clock there is. Constant in a transaction."""
        ...

    def get(self, kind: type[R], id: str) -> R | None:
        """The record with this id, or None."""
        ...

    def find(
        self,
        kind: type[R],
        *,
        where: Mapping[str, Any] | None = None,
        after: Any = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[R]:
        """Records whose scalar fields equal all of `where` (a tuple, list or frozenset as value means
        "one of", a `Since` that time or a later one), ordered by id, beginning after the id `after`, at
        most `limit`."""
        ...

    def count(self, kind: type[R], *, where: Mapping[str, Any] | None = None) -> int:
        """How many `find` would give."""
        ...

    def pick(
        self,
        kind: type[R],
        *fields: str,
        where: Mapping[str, Any] | None = None,
        after: Any = None,
        limit: int | None = None,
    ) -> list[tuple[Any, ...]]:
        """Of the records that `find` would give, these scalar fields: each combination once, in no order that
        can be relied upon. Far cheaper than the records. Where `id` is among the fields, others needn't be
        scalar; `after` and `limit` are for then alone, and as `find` has them, with its order."""
        ...

    def insert(self, *records: Record) -> None:
        """Adds records of any kinds. Raises Conflict (naming kind and field) when an id or a unique
        field is taken; nothing of the transaction remains then."""
        ...

    def update(
        self,
        kind: type[R],
        id: str,
        changes: Mapping[str, Any],
        *,
        expect: Mapping[str, Any] | None = None,
    ) -> bool:
        """Sets fields of one record if it exists and its scalar fields equal `expect`; says whether it
        did. `updated_at`, where there is one, is set by the store. Only the named fields are written:
        writers of different fields don't undo each other."""
        ...

    def update_all(self, kind: type[R], changes: Mapping[str, Mapping[str, Any]]) -> int:
        """As `update` of each of these records, by its id, without `expect`: the same fields of all of them,
        none of them unique. Says how many there were. One by one they would take several times as long."""
        ...

    def delete(self, kind: type[R], id: str | int, *, expect: Mapping[str, Any] | None = None) -> bool:
        """Removes one record under the same condition as `update`; says whether it did."""
        ...

    def notify(self, *topics: str) -> None:
        """Wakes the watchers of these topics, after the transaction is stored."""
        ...


class Watch(Protocol):
    """Wake-ups of some topics. A hint: what is missed is found by polling."""

    async def wait(self, timeout_s: float) -> bool:
        """True as soon as a topic was notified since the last call, or may have been; False after
        `timeout_s`."""
        ...

    def close(self) -> None:
        """Ends the watch. Idempotent."""
        ...


class Store(Protocol):
    """Where the records live. Transactions are serializable and durable once `transact` returns.

    Raises StorageFull (disk full), TransientError (database away), Conflict (see Tx.insert).
    """

    async def transact(self, work: Callable[[Tx], T]) -> T:
        """Runs `work` in one transaction and returns what it returns. An exception of `work` rolls
        its transaction back (and nobody else's) and comes out unchanged. Cancelling the caller
        doesn't undo a transaction that is already on its way."""
        ...

    async def transact_first(self, work: Callable[[Tx], T]) -> T:
        """As `transact`, before all that wait, however many: of who loses its lease otherwise."""
        ...

    async def settled(self, kind: type[Record]) -> int:
        """Of records with numbers: all up to this one that will ever be there are there; and it is at least
        that of any that was stored when this was asked, unless somebody's transaction takes seconds. Who
        pages by number, and takes none beyond this one in a later transaction, misses none."""
        ...

    def watch(self, *topics: str) -> Watch:
        """Topics: "node:<id>", "instance:<id>", "nodes", "instances", "requests", "images", "events",
        "hosts", "offers": nodes can be had that couldn't before, and "work": there is something that a
        compute host has to act on. Exact match."""
        ...

    async def close(self) -> None:
        """Stores what was accepted, ends threads and connections. Idempotent."""
        ...
