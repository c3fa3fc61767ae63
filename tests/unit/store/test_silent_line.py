from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from provisioner.store import postgres_store
from provisioner.store.postgres import Away, Mark, Postgres
from provisioner.store.postgres_line import Line
from provisioner.store.postgres_store import PostgresStore

URL = "postgresql+psycopg://provisioner@db.example/provisioner"


class LostLine(Line):
    """The server's end of it; the answer to its commit is lost."""

    def __init__(self) -> None:
        super().__init__(self)  # type: ignore[arg-type]  # its own driver, as far as that is asked
        self._ours, self.theirs = socket.socketpair()

    def fileno(self) -> int:
        if self._ours.fileno() < 0:
            raise psycopg.OperationalError("the connection is closed")
        return self._ours.fileno()

    async def play(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return 1, None, None, Mark("1", "since today")

    async def commit(self) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    async def close(self) -> None:
        self._ours.close()


def test_a_connection_s_time_to_answer_ends_with_it_and_cuts_no_other_that_has_its_number_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres_store, "ANSWER_S", 0.02)
    database, line = Postgres(URL), LostLine()
    number, cut = line.fileno(), []

    async def connect() -> Line:
        return line

    async def find_out(mark: Mark, lost: Away) -> bool:
        """It takes its time, and others connect meanwhile."""
        one, other = socket.socketpair()
        with one, other:
            assert number in (one.fileno(), other.fileno())
            await asyncio.sleep(0.1)
            for end in (one, other):
                end.setblocking(False)
                try:
                    cut.append(end.recv(1) == b"")
                except BlockingIOError:
                    cut.append(False)
        return True

    monkeypatch.setattr(database, "line", connect)

    async def story() -> None:
        store = PostgresStore(database)
        monkeypatch.setattr(store, "_took_place", find_out)
        await store.transact(lambda tx: None)
        await store.close()

    asyncio.run(story())
    assert cut == [False, False]
