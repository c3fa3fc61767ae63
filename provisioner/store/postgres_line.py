"""A line to PostgreSQL that functions of transactions use as if its answers came at once.

Past SQLAlchemy, which compiles our statements: a connection to be lent, begun and given back for each
transaction, and a greenlet for each of these, cost almost as much as what the transaction does.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from sqlalchemy.util import await_only, greenlet_spawn

T = TypeVar("T")

MOST_ROWS, MOST_TEXT = 1_000, 2**18
"""In one message, the latter in characters: the server gives up whoever takes more than 2 s to send one."""


class LineCursor:
    """`provisioner.store.dialect.Cursor`, of one that is to be awaited."""

    def __init__(self, cursor: psycopg.AsyncCursor[Any]) -> None:
        self._cursor = cursor
        self._met_before = 0

    @property
    def rowcount(self) -> int:
        return self._met_before + self._cursor.rowcount

    def execute(self, text: Any, parameters: Any = None) -> None:
        self._met_before = 0
        await_only(self._cursor.execute(text, parameters))

    def executemany(self, text: Any, parameters: Sequence[Any]) -> None:
        """text: takes the rows as arrays, one for each column. A statement for each row would be a way there
        and back each: with thousands of them, and a server that isn't near, longer than a lease.

        No pipeline, in which psycopg would send a statement for each row, in pieces: the server waits for the
        next one for as long as it takes, counts no time meanwhile, and a host that is frozen or cut off
        between two of them would hold its rows for ever.
        """
        await_only(self._in_pieces(text, parameters))

    async def _in_pieces(self, text: Any, rows: Sequence[Any]) -> None:
        met = 0
        for some in _cut(rows):
            columns = [list(column) for column in zip(*some, strict=True)]
            # Prepared: the rows are the first that the server is told then, and it counts the time until all
            # have come. Told the text first, it would wait for them without end.
            await self._cursor.execute(text, columns, prepare=True)
            met += self._cursor.rowcount
        self._met_before = met - self._cursor.rowcount

    def fetchone(self) -> Any:
        return await_only(self._cursor.fetchone())

    def fetchall(self) -> Any:
        return await_only(self._cursor.fetchall())


def _cut(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    some, length = list[Sequence[Any]](), 0
    for row in rows:
        some.append(row)
        length += sum(len(value) for value in row if isinstance(value, str))
        if len(some) == MOST_ROWS or length > MOST_TEXT:
            yield some
            some, length = [], 0
    if some:
        yield some


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


@contextmanager
def cut_when_silent(driver: psycopg.AsyncConnection[Any], answer_s: float) -> Iterator[None]:
    """Ends the connection under who waits for its answer. Not by cancelling it: psycopg would ask the server
    to cancel first, and wait for the answer of one that is silent."""

    def cut() -> None:
        # Its number is asked for now: of one that was closed meanwhile it may be another file's.
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(driver.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    timer = asyncio.get_running_loop().call_later(answer_s, cut)
    try:
        yield
    finally:
        timer.cancel()
