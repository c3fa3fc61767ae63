"""One transaction on a SQL database, seen from inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, TypeVar

from provisioner.core.errors import Conflict
from provisioner.core.model import Record
from provisioner.store.conditions import Conditions, conditions
from provisioner.store.dialect import Cursor, Database, Session, Taken
from provisioner.store.schema import Shape, shape_of
from provisioner.store.statements import Statement, Statements

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class SqlTx:
    """Implements `provisioner.protocols.store.Tx`.

    wrote:  whether the database may hold something of it
    failed: the error that dooms it, even when the caller's function swallows it
    topics: whom to wake when it is stored
    """

    def __init__(
        self,
        connection: Session,
        database: Database,
        statements: Statements,
        now: datetime | None = None,
    ) -> None:
        """now: where it is known already."""
        self.wrote = False
        self.failed: Exception | None = None
        self.topics: list[str] = []
        self._connection = connection
        self._database = database
        self._statements = statements
        self._now = now
        self._cursor: Cursor | None = None

    @property
    def asked_now(self) -> datetime | None:
        """None when nobody has asked."""
        return self._now

    def now(self) -> datetime:
        if self._now is None:
            self._now = self._database.now(self._connection)
        return self._now

    def get(self, kind: type[R], id: str) -> R | None:
        found = self.find(kind, where={"id": id})
        return found[0] if found else None

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
        wanted = conditions(shape, where)
        if wanted is None:
            return []
        parameters = _with_page(wanted.values, shape, after, limit)
        statement = self._statements.select(
            shape,
            wanted.terms,
            after=after is not None,
            limit=limit is not None,
            newest_first=newest_first,
        )
        rows = self._run(f"read {shape.label}", statement, parameters).fetchall()
        return [shape.record(row) for row in rows]

    def count(self, kind: type[R], *, where: Mapping[str, Any] | None = None) -> int:
        shape = shape_of(kind)
        wanted = conditions(shape, where)
        if wanted is None:
            return 0
        statement = self._statements.count(shape, wanted.terms)
        ((count,),) = self._run(f"count {shape.label}", statement, wanted.values).fetchall()
        return int(count)

    def pick(
        self,
        kind: type[R],
        *fields: str,
        where: Mapping[str, Any] | None = None,
        after: Any = None,
        limit: int | None = None,
    ) -> list[tuple[Any, ...]]:
        shape = shape_of(kind)
        columns = shape.picked(fields, paged=after is not None or limit is not None)
        wanted = conditions(shape, where)
        if wanted is None:
            return []
        parameters = _with_page(wanted.values, shape, after, limit)
        statement = self._statements.pick(
            shape, fields, wanted.terms, after=after is not None, limit=limit is not None
        )
        rows = self._run(f"read {shape.label}", statement, parameters).fetchall()
        decoded = [(i, column.decode) for i, column in enumerate(columns) if column.decode]
        return [_decoded(row, decoded) for row in rows] if decoded else [tuple(row) for row in rows]

    def insert(self, *records: Record) -> None:
        for kind, group in groupby(records, type):
            self._insert(shape_of(kind), list(group))

    def _insert(self, shape: Shape[Any], records: list[Any]) -> None:
        if not shape.numbered:
            self._insert_named(shape, records)
            return
        for numbered, group in groupby(records, lambda record: record.id == 0):
            self.now()  # before numbers are given: see `Store.settled`
            rows = [tuple(shape.row(record)[numbered:]) for record in group]  # the id comes first
            self._insert_rows(shape, rows, numbered=numbered)
            if not numbered:
                self._database.gave_numbers(self._connection, shape.table.name, max(row[0] for row in rows))

    def _insert_named(self, shape: Shape[Any], records: list[Any]) -> None:
        if len(records) > 1 and self._database.is_far:
            self._insert_rows(shape, [shape.row(record) for record in records], numbered=False)
            return
        statement = self._statements.insert(shape, numbered=False)
        self.wrote = True
        for record in records:  # one by one: a conflict then tells whose it is
            self._run(f"add {shape.label}", statement, shape.row(record), record)

    def _insert_rows(self, shape: Shape[Any], rows: list[Any], *, numbered: bool) -> None:
        self.wrote = True
        if len(rows) == 1:
            self._run(f"add {shape.label}", self._statements.insert(shape, numbered=numbered), rows[0])
            return
        statement = self._statements.insert_all(shape, numbered=numbered)
        self._execute(f"add {shape.label}", statement.text, rows, many=True)

    def update(
        self,
        kind: type[R],
        id: str,
        changes: Mapping[str, Any],
        *,
        expect: Mapping[str, Any] | None = None,
    ) -> bool:
        shape = shape_of(kind)
        wanted = _of_one(shape, id, expect)
        if wanted is None:
            return False
        if not changes:
            return self.count(kind, where={**(expect or {}), "id": id}) > 0
        values = {name: shape.changeable(name).checked(value) for name, value in changes.items()}
        if shape.touched:
            values["updated_at"] = shape.columns["updated_at"].checked(self.now())
        statement = self._statements.update(shape, tuple(values), wanted.terms)
        return self._write(f"change {shape.label}", statement, [*values.values(), *wanted.values], changes)

    def update_all(self, kind: type[R], changes: Mapping[str, Mapping[str, Any]]) -> int:
        if not changes:
            return 0
        shape = shape_of(kind)
        fields = tuple(next(iter(changes.values())))
        columns = [shape.changeable(field) for field in fields]
        touched = [shape.columns["updated_at"].checked(self.now())] if shape.touched else []
        named = (*fields, "updated_at") if shape.touched else fields
        statement = self._statements.update_all(shape, named)
        by_id, rows = shape.column("id"), []
        for id, changed in changes.items():
            values = [column.checked(changed[field]) for field, column in zip(fields, columns, strict=True)]
            rows.append((*values, *touched, by_id.checked(id), *statement.tail))
        self.wrote = True
        return self._execute(f"change {shape.label}", statement.text, rows, many=True).rowcount

    def delete(self, kind: type[R], id: str | int, *, expect: Mapping[str, Any] | None = None) -> bool:
        shape = shape_of(kind)
        wanted = _of_one(shape, id, expect)
        if wanted is None:
            return False
        statement = self._statements.delete(shape, wanted.terms)
        return self._write(f"delete {shape.label}", statement, wanted.values)

    def ask(self, question: Callable[[Session], T]) -> T:
        """Something that one database alone can tell. As `_execute`."""
        if self.failed is not None:
            raise self.failed
        try:
            return question(self._connection)
        except Exception as error:
            self.failed = self._meaning("ask the database", error, None) or error
            raise self.failed from error

    def notify(self, *topics: str) -> None:
        self.topics += topics

    def _write(self, tried: str, statement: Statement, parameters: list[Any], changes: object = None) -> bool:
        before, self.wrote = self.wrote, True  # until it is known that no row was met
        met = self._run(tried, statement, parameters, changes).rowcount > 0
        self.wrote = before or met
        return met

    def _run(self, tried: str, statement: Statement, parameters: list[Any], values: object = None) -> Cursor:
        return self._execute(tried, statement.text, (*parameters, *statement.tail), values)

    def _execute(
        self, tried: str, text: str, parameters: Any, values: object = None, *, many: bool = False
    ) -> Cursor:
        """Runs one statement. After an error the transaction is lost, and answers the same to whatever is
        tried next. `values`: the record or the changes that it is about."""
        if self.failed is not None:
            raise self.failed
        # All that is found is fetched at once, so that one will do.
        cursor = self._cursor
        if cursor is None:
            cursor = self._cursor = self._connection.connection.cursor()
        try:
            if many:
                cursor.executemany(text, parameters)
            else:
                cursor.execute(text, parameters)
        except Exception as error:
            meaning = self._meaning(tried, error, values)
            self.failed = meaning or error
            if meaning is None:
                raise
            raise meaning from error
        return cursor

    def _meaning(self, tried: str, error: Exception, values: object) -> Exception | None:
        taken = self._database.conflict(error)
        if taken is not None:
            return Conflict(tried, answer=f"{_named(values, taken)} is taken")
        return self._database.failure(error)


def _of_one(shape: Shape[Any], id: str | int, expect: Mapping[str, Any] | None) -> Conditions | None:
    return conditions(shape, {"id": id} if expect is None else {"id": id, **expect})


def _with_page(values: list[Any], shape: Shape[Any], after: Any, limit: int | None) -> list[Any]:
    """A statement's parameters, in the order in which it has them."""
    beginning = [] if after is None else [shape.column("id").checked(after)]
    return [*values, *beginning, *([] if limit is None else [limit])]


def _decoded(row: Sequence[Any], decoded: list[tuple[int, Callable[[Any], Any]]]) -> tuple[Any, ...]:
    values = list(row)
    for i, decode in decoded:
        if values[i] is not None:
            values[i] = decode(values[i])
    return tuple(values)


def _named(values: object, taken: Taken) -> str:
    field = taken.field
    value = values.get(field) if isinstance(values, Mapping) else getattr(values, field, None)
    value = value or taken.value
    return f"{field} {value!r}" if value else field
