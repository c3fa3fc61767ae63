"""The store in memory: the same meaning, no threads, no files. For models in virtual time and for tests."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain, islice
from types import coroutine
from typing import Any, TypeVar

from provisioner.core.errors import Conflict, TransientError
from provisioner.core.model import Record
from provisioner.protocols.store import Since, Tx
from provisioner.store.conditions import check
from provisioner.store.schema import SHAPES, Shape, shape_of
from provisioner.store.topics import Topics, TopicWatch

R = TypeVar("R", bound=Record)
T = TypeVar("T")

Wanted = tuple[Any, ...] | Since
Checks = tuple[tuple[str, Wanted], ...]
"""Of a field, the values that will do; all of them must hold."""


class MemoryStore:
    """Implements `provisioner.protocols.store.Store`. `wall_clock` may be a virtual one."""

    def __init__(
        self,
        wall_clock: Callable[[], datetime],
        on_change: Callable[[Record | None, Record | None], None] | None = None,
    ) -> None:
        """on_change: told of each record that was stored, as it was before (None: it is new) and as it is
        (None: it is gone), once its transaction is sure."""
        self._wall_clock = wall_clock
        self._on_change = on_change
        self._tables = {kind: _Table(shape) for kind, shape in SHAPES.items()}
        self._topics = Topics()
        self._closed = False

    async def transact(self, work: Callable[[Tx], T]) -> T:
        if self._closed:
            raise TransientError("use the database", answer="the store is closed", advice="It is ending")
        await _others_run()  # before and after, as they do with a real database
        tx = _MemoryTx(self._tables, self._wall_clock)
        try:
            result = work(tx)
            if tx.failed is not None:
                raise tx.failed
        except BaseException:
            tx.undo()
            raise
        if self._on_change is not None:
            for before, after in tx.changes():
                self._on_change(before, after)
        self._topics.notify(tx.topics)
        await _others_run()
        return result

    async def transact_first(self, work: Callable[[Tx], T]) -> T:
        return await self.transact(work)  # nobody waits

    async def settled(self, kind: type[Record]) -> int:
        return self._tables[kind].last_number

    def watch(self, *topics: str) -> TopicWatch:
        return self._topics.watch(*topics)

    async def close(self) -> None:
        self._closed = True


@coroutine
def _others_run() -> Generator[None, None, None]:
    """What `asyncio.sleep(0)` does, in half the time."""
    yield


class _Table:
    """The records of one kind, by id, with sorted ids per value of every indexed field."""

    def __init__(self, shape: Shape[Any]) -> None:
        self.shape = shape
        self.records: dict[Any, Any] = {}
        self.ids: list[Any] = []
        self.last_number = 0
        self._by_value: dict[str, dict[Any, list[Any]]] = {
            field: {}
            for field in (
                *shape.unique,
                *(names[0] for names in shape.indexes),
            )
        }

    def put(self, id: Any, record: Any | None) -> None:
        """Makes `record` (None: nothing) what is kept under `id`."""
        old = self.records.get(id)
        if record is not None:
            self.records[id] = record
        elif old is not None:
            del self.records[id]
        if old is None and record is not None:
            insort(self.ids, id)
        elif old is not None and record is None:
            del self.ids[bisect_left(self.ids, id)]
        for field, by_value in self._by_value.items():
            if old is not None:
                value = getattr(old, field)
                if record is not None and getattr(record, field) == value:
                    continue
                ids = by_value[value]
                del ids[bisect_left(ids, id)]
                if not ids:
                    del by_value[value]
            if record is not None:
                insort(by_value.setdefault(getattr(record, field), []), id)

    def taken(self, record: Any) -> str | None:
        """The unique field, with its value, that another record has already."""
        for field in self.shape.unique:
            value = getattr(record, field)
            if any(id != record.id for id in self._by_value[field].get(value, ())):
                return f"{field} {value!r}"
        return None

    def candidates(self, where: Mapping[str, Wanted]) -> tuple[list[list[Any]], str]:
        """Sorted lists of ids, none in two of them: of all records that can meet `where`, by the narrowest
        index there is; and the field of `where` that they all meet."""
        named = where.get("id")
        if isinstance(named, tuple):
            return [sorted(id for id in set(named) if id in self.records)], "id"
        best: list[list[Any]] = [self.ids]
        best_field, least = "", None
        for field, values in where.items():
            by_value = self._by_value.get(field)
            if by_value is None or isinstance(values, Since):
                continue
            wanted = values if len(values) == 1 else dict.fromkeys(values)
            lists = [ids for value in wanted if (ids := by_value.get(value))]
            size = sum(map(len, lists))
            if least is None or size < least:
                best, best_field, least = lists, field, size
        return best, best_field

    def stored(self, record: Any) -> Any:
        """The record as it comes back from a database: numbered, and sharing nothing with the caller's."""
        numbered = self.shape.numbered and not record.id
        return self.shape.kept(record, self.last_number + 1 if numbered else record.id)


class _MemoryTx:
    """Implements `provisioner.protocols.store.Tx`."""

    def __init__(self, tables: Mapping[type, _Table], wall_clock: Callable[[], datetime]) -> None:
        self.topics: list[str] = []
        self.failed: Conflict | None = None
        self._tables = tables
        self._wall_clock = wall_clock
        self._now: datetime | None = None
        self._undo: list[tuple[_Table, Any, Any | None]] = []

    def changes(self) -> Iterator[tuple[Any | None, Any | None]]:
        """Each record that was changed: before and after."""
        first: dict[tuple[str, Any], tuple[_Table, Any | None]] = {}
        for table, id, record in self._undo:
            first.setdefault((table.shape.label, id), (table, record))
        for (_, id), (table, record) in first.items():
            yield record, table.records.get(id)

    def undo(self) -> None:
        for table, id, record in reversed(self._undo):
            table.put(id, record)

    def now(self) -> datetime:
        if self._now is None:  # most only read, and never ask
            self._now = self._wall_clock()
        return self._now

    def get(self, kind: type[R], id: str) -> R | None:
        return self._one(kind, id, None)

    def find(
        self,
        kind: type[R],
        *,
        where: Mapping[str, Any] | None = None,
        after: Any = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[R]:
        shape = shape_of(kind)
        begin = None if after is None else shape.column("id").checked(after)
        lists, checks = self._looked_up(shape, where)
        ids = lists[0] if len(lists) == 1 else sorted(chain.from_iterable(lists))
        if begin is not None:
            ids = ids[: bisect_left(ids, begin)] if newest_first else ids[bisect_right(ids, begin) :]
        records = self._tables[kind].records
        met: Iterator[R] = map(records.__getitem__, reversed(ids) if newest_first else ids)
        if checks:
            met = filter(lambda record: _meets(record, checks), met)
        return list(met if limit is None else islice(met, limit))

    def count(self, kind: type[R], *, where: Mapping[str, Any] | None = None) -> int:
        lists, checks = self._looked_up(shape_of(kind), where)
        if not checks:
            return sum(map(len, lists))
        records = self._tables[kind].records
        return sum(_meets(records[id], checks) for ids in lists for id in ids)

    def pick(
        self,
        kind: type[R],
        *fields: str,
        where: Mapping[str, Any] | None = None,
        after: Any = None,
        limit: int | None = None,
    ) -> list[tuple[Any, ...]]:
        shape_of(kind).picked(fields, paged=after is not None or limit is not None)
        found = self.find(kind, where=where, after=after, limit=limit)
        rows = (tuple(getattr(record, field) for field in fields) for record in found)
        return list(rows if "id" in fields else dict.fromkeys(rows))

    def insert(self, *records: Record) -> None:
        for record in records:
            if self.failed is not None:
                raise self.failed
            table = self._tables[shape_of(type(record)).kind]
            stored = table.stored(record)
            taken = f"id {stored.id!r}" if stored.id in table.records else table.taken(stored)
            if taken:
                self._fail(f"add {table.shape.label}", taken)
            if table.shape.numbered:
                table.last_number = max(table.last_number, stored.id)
            self._put(table, stored.id, stored)

    def update(
        self,
        kind: type[R],
        id: str,
        changes: Mapping[str, Any],
        *,
        expect: Mapping[str, Any] | None = None,
    ) -> bool:
        shape = shape_of(kind)
        values = {name: shape.changeable(name).as_stored(value) for name, value in changes.items()}
        old = self._one(kind, id, expect)
        if old is None or not changes:
            return old is not None
        if shape.touched:
            values["updated_at"] = self.now()
        table, new = self._tables[kind], shape.changed(old, values)
        taken = table.taken(new)
        if taken:
            self._fail(f"change {shape.label}", taken)
        self._put(table, id, new)
        return True

    def update_all(self, kind: type[R], changes: Mapping[str, Mapping[str, Any]]) -> int:
        return sum(self.update(kind, id, fields) for id, fields in changes.items())

    def delete(self, kind: type[R], id: str | int, *, expect: Mapping[str, Any] | None = None) -> bool:
        met = self._one(kind, id, expect) is not None
        if met:
            self._put(self._tables[kind], id, None)
        return met

    def notify(self, *topics: str) -> None:
        self.topics += topics

    def _one(self, kind: type[R], id: str | int, expect: Mapping[str, Any] | None) -> R | None:
        if self.failed is not None:
            raise self.failed
        shape = shape_of(kind)
        # Its own way, which is most of what a host asks for.
        column = shape.columns["id"]
        if type(id) is not column.exact:
            column.checked(id)
        if expect:
            check(shape, expect)
        record: R | None = self._tables[kind].records.get(id)
        if record is None or not expect or _meets(record, _wanted(expect).items()):
            return record
        return None

    def _looked_up(self, shape: Shape[R], where: Mapping[str, Any] | None) -> tuple[list[list[Any]], Checks]:
        """The ids of all that can meet `where`, and what of it they may not meet."""
        if self.failed is not None:
            raise self.failed
        wanted = {}
        if where:
            check(shape, where)  # the same complaints as a database's
            wanted = _wanted(where)
        lists, met = self._tables[shape.kind].candidates(wanted)
        return lists, tuple((field, values) for field, values in wanted.items() if field != met)

    def _put(self, table: _Table, id: Any, record: Any | None) -> None:
        self._undo.append((table, id, table.records.get(id)))
        table.put(id, record)

    def _fail(self, tried: str, taken: str) -> None:
        """The transaction is lost, even when the caller's function swallows the error."""
        self.failed = Conflict(tried, answer=f"{taken} is taken")
        raise self.failed


def _wanted(where: Mapping[str, Any]) -> dict[str, Wanted]:
    """Of each field, the values that will do."""
    return {
        field: tuple(value)
        if isinstance(value, tuple | list | frozenset)
        else (value if isinstance(value, Since) else (value,))
        for field, value in where.items()
    }


def _meets(record: Any, checks: Iterable[tuple[str, Wanted]]) -> bool:
    for field, values in checks:  # noqa: SIM110  # a generator for each record takes twice as long
        if getattr(record, field) not in values:
            return False
    return True
