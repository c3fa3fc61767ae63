"""SQL text, compiled once per shape of a question: building it anew would cost more than running it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from provisioner.store.columns import Column
from provisioner.store.conditions import Term
from provisioner.store.schema import Shape


@dataclass(frozen=True, slots=True)
class Statement:
    """Text for the driver, which takes the parameters by position. `tail` are parameters that the
    dialect added by itself."""

    text: str
    tail: tuple[Any, ...]


_ITS_ID = (Term("id", alternatives=1, or_null=False),)


class Statements:
    """The compiled statements of one database. They are as many as the program has different questions,
    whatever the data."""

    def __init__(self, dialect: sa.Dialect, *, arrays: bool = False) -> None:
        """arrays: what is about many rows takes them so, see `Database.is_far`."""
        self._dialect = dialect
        self._arrays = arrays
        self._compiled: dict[Hashable, Statement] = {}

    def select(
        self, shape: Shape[Any], terms: tuple[Term, ...], *, after: bool, limit: bool, newest_first: bool
    ) -> Statement:
        """Parameters: the conditions' values, then the id to begin after, then the limit."""

        def build() -> tuple[sa.Select[Any], list[str]]:
            clauses, names = _clauses(shape, terms)
            query = sa.select(shape.table).where(*clauses)
            query = _paged(query, shape, names, after=after, limit=limit, newest_first=newest_first)
            return query, names

        return self._once(("select", shape.kind, terms, after, limit, newest_first), build)

    def count(self, shape: Shape[Any], terms: tuple[Term, ...]) -> Statement:
        """Parameters: the conditions' values."""

        def build() -> tuple[sa.Select[Any], list[str]]:
            clauses, names = _clauses(shape, terms)
            return sa.select(sa.func.count()).select_from(shape.table).where(*clauses), names

        return self._once(("count", shape.kind, terms), build)

    def pick(
        self,
        shape: Shape[Any],
        fields: tuple[str, ...],
        terms: tuple[Term, ...],
        *,
        after: bool = False,
        limit: bool = False,
    ) -> Statement:
        """Parameters: as `select` has them."""

        def build() -> tuple[sa.Select[Any], list[str]]:
            clauses, names = _clauses(shape, terms)
            query = sa.select(*(shape.table.c[field] for field in fields)).where(*clauses)
            if "id" not in fields:
                return query.distinct(), names
            return _paged(query, shape, names, after=after, limit=limit) if after or limit else query, names

        return self._once(("pick", shape.kind, fields, terms, after, limit), build)

    def insert(self, shape: Shape[Any], *, numbered: bool) -> Statement:
        """Parameters: the row; without its id when `numbered`, where the database gives it."""

        def build() -> tuple[sa.Insert, list[str]]:
            names = [name for name in shape.columns if not (numbered and name == "id")]
            # inline: the new id isn't asked for, so the database need not return it.
            values: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in names}
            return shape.table.insert().values(values).inline(), [f"new_{name}" for name in names]

        return self._once(("insert", shape.kind, numbered), build)

    def update(self, shape: Shape[Any], fields: tuple[str, ...], terms: tuple[Term, ...]) -> Statement:
        """Parameters: the new values, then the conditions' values."""

        def build() -> tuple[sa.Update, list[str]]:
            clauses, names = _clauses(shape, terms)
            values: list[tuple[str, Any]] = [(field, sa.bindparam(f"new_{field}")) for field in fields]
            query = shape.table.update().where(*clauses).ordered_values(*values)
            return query, [f"new_{field}" for field in fields] + names

        return self._once(("update", shape.kind, fields, terms), build)

    def insert_all(self, shape: Shape[Any], *, numbered: bool) -> Statement:
        """As `insert`, of many rows, for `Cursor.executemany`."""
        if not self._arrays:
            return self.insert(shape, numbered=numbered)

        def build() -> tuple[sa.Insert, list[str]]:
            names = [name for name in shape.columns if not (numbered and name == "id")]
            rows = _unnested(shape, names)
            return shape.table.insert().from_select(names, sa.select(*rows.c)), [f"new_{n}" for n in names]

        return self._once(("insert_all", shape.kind, numbered), build)

    def update_all(self, shape: Shape[Any], fields: tuple[str, ...]) -> Statement:
        """Parameters: the new values, then the id; of many rows, for `Cursor.executemany`."""
        if not self._arrays:
            return self.update(shape, fields, _ITS_ID)

        def build() -> tuple[sa.Update, list[str]]:
            names = [*fields, "id"]
            rows = _unnested(shape, names)
            query = shape.table.update().where(shape.table.c.id == rows.c.id)
            return query.values({field: rows.c[field] for field in fields}), [f"new_{n}" for n in names]

        return self._once(("update_all", shape.kind, fields), build)

    def delete(self, shape: Shape[Any], terms: tuple[Term, ...]) -> Statement:
        """Parameters: the conditions' values."""

        def build() -> tuple[sa.Delete, list[str]]:
            clauses, names = _clauses(shape, terms)
            return shape.table.delete().where(*clauses), names

        return self._once(("delete", shape.kind, terms), build)

    def _once(self, key: Hashable, build: Callable[[], tuple[Any, list[str]]]) -> Statement:
        statement = self._compiled.get(key)
        if statement is None:
            query, names = build()
            compiled = query.compile(dialect=self._dialect)
            order = list(compiled.positiontup)
            assert order[: len(names)] == names, f"{compiled} takes {order}, not {names}"
            tail = tuple(compiled.params[name] for name in order[len(names) :])
            statement = self._compiled[key] = Statement(str(compiled), tail)
        return statement


def _unnested(shape: Shape[Any], names: Sequence[str]) -> sa.TableValuedAlias:
    """The rows of arrays, each of which is a parameter."""
    arrays: list[sa.BindParameter[Any]] = [
        sa.bindparam(f"new_{name}", type_=sa.ARRAY(_plain(shape.columns[name]))) for name in names
    ]
    return sa.func.unnest(*arrays).table_valued(*names, name="given").render_derived()


def _plain(column: Column) -> sa.types.TypeEngine[Any]:
    """The column's type without its collation, which an array's can't have."""
    if column.python_type is int:
        return sa.BigInteger()
    return sa.Boolean() if column.python_type is bool else sa.Text()


def _paged(
    query: sa.Select[Any],
    shape: Shape[Any],
    names: list[str],
    *,
    after: bool,
    limit: bool,
    newest_first: bool = False,
) -> sa.Select[Any]:
    """Ordered by id. Adds to `names` those of the parameters that it takes."""
    id_column = shape.table.c.id
    if after:
        bound: sa.BindParameter[Any] = sa.bindparam("after")
        query = query.where(id_column < bound if newest_first else id_column > bound)
        names.append("after")
    query = query.order_by(id_column.desc() if newest_first else id_column)
    if limit:
        query = query.limit(sa.bindparam("limit", type_=sa.Integer()))
        names.append("limit")
    return query


def _clauses(shape: Shape[Any], terms: tuple[Term, ...]) -> tuple[list[sa.ColumnElement[bool]], list[str]]:
    clauses: list[sa.ColumnElement[bool]] = []
    names: list[str] = []
    for term in terms:
        column = shape.table.c[term.field]
        own = [f"is_{term.field}_{i}" for i in range(term.alternatives)]
        either: list[sa.ColumnElement[bool]] = []
        if term.or_more:
            either.append(column >= sa.bindparam(own[0]))
        elif len(own) == 1:
            either.append(column == sa.bindparam(own[0]))
        elif own:
            # A tuple of single parameters: SQLAlchemy's own IN is expanded only when it executes.
            either.append(column.in_([sa.bindparam(name) for name in own]))
        if term.or_null:
            either.append(column.is_(None))
        clauses.append(sa.or_(*either))
        names += own
    return clauses, names
