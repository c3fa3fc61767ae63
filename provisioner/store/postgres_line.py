"""A line to PostgreSQL that functions of transactions use as if its answers came at once.

Past SQLAlchemy, which compiles our statements: a connection to be lent, begun and given back for each
transaction, and a greenlet for each of these, cost almost as much as what the transaction does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from sqlalchemy.util import await_only, greenlet_spawn

T = TypeVar("T")


class LineCursor:
    """`provisioner.store.dialect.Cursor`, of one that is to be awaited."""

    def __init__(self, cursor: psycopg.AsyncCursor[Any]) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def execute(self, text: Any, parameters: Any = None) -> None:
        await_only(self._cursor.execute(text, parameters))

    def executemany(self, text: Any, parameters: Any) -> None:
        await_only(self._cursor.executemany(text, parameters))

    def fetchone(self) -> Any:
        return await_only(self._cursor.fetchone())

    def fetchall(self) -> Any:
        return await_only(self._cursor.fetchall())


class Line:
    """`provisioner.store.dialect.Session`. What is asked of it in `play` begins a transaction; `commit` or
    `roll_back` ends it."""

    def __init__(self, driver: psycopg.AsyncConnection[Any]) -> None:
        self.driver = driver
        self.info: dict[Any, Any] = {}

    @property
    def connection(self) -> Line:
        return self

    def cursor(self) -> LineCursor:
        return LineCursor(self.driver.cursor())

    async def play(self, function: Callable[..., T], *arguments: Any) -> T:
        """function: takes this line, and `arguments`; others run while it waits for an answer"""
        return await greenlet_spawn(function, self, *arguments)

    async def commit(self) -> None:
        await self.driver.commit()

    async def roll_back(self) -> None:
        await self.driver.rollback()

    async def close(self) -> None:
        """At once: whatever was begun is undone."""
        await self.driver.close()
