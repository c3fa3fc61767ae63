"""Every store is held to the same contract. To add one, name its URL here."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from fixtures.postgres_server import PostgresServer
from provisioner.protocols.store import Store
from provisioner.store import open_store, upgrade_store
from provisioner.store.postgres import SESSION

T = TypeVar("T")
IDLE = "idle_in_transaction_session_timeout"
"""Of `SESSION`. Who stands still for longer is given up by the server, and runs its functions again."""


class Teller(Protocol):
    """Gives what a story gives."""

    def __call__(self, story: Callable[[Store], Awaitable[T]]) -> T: ...


class TickingClock:
    """A wall clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.time = datetime(2024, 2, 29, 23, 59, 50, 123456, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


class Stores:
    """Opens stores of one kind, each in its own event loop, and closes them."""

    def __init__(self, kind: str, new_url: Callable[[], str]) -> None:
        self.kind = kind
        self.clock = TickingClock()
        self._new_url = new_url

    def url(self) -> str:
        """Of a store that is still empty."""
        return self._new_url()

    def play(self, story: Callable[[Store], Awaitable[T]], url: str | None = None) -> T:
        """What `story` gives on an open store (a fresh one when no `url` is named)."""

        with self.opened(url) as told:
            return told(story)

    @contextmanager
    def opened(self, url: str | None = None) -> Iterator[Teller]:
        """Plays stories on one open store, one after the other: for examples, which are many."""

        async def open_it() -> Store:
            return open_store(url or self.url(), wall_clock=self.clock)

        async def bounded(story: Callable[[Store], Awaitable[T]]) -> T:
            async with asyncio.timeout(60):
                return await story(store)

        with asyncio.Runner() as runner:
            store = runner.run(open_it())
            try:
                yield lambda story: runner.run(bounded(story))
            finally:
                runner.run(store.close())


class SqliteFiles:
    """Databases that have the schema already: copies of one, for making it takes a tenth of a second."""

    def __init__(self, folder: Path) -> None:
        self._template = folder / "template.db"
        upgrade_store(f"sqlite:///{self._template}")

    def url(self, path: Path) -> str:
        """Of a new one there."""
        shutil.copyfile(self._template, path)
        return f"sqlite:///{path}"


class PostgresDatabases:
    """A server of our own, with databases that have the schema already: copies of one."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._number = 0
        self._idle: list[str] = []
        server.execute("CREATE DATABASE template")
        upgrade_store(server.url("template"))

    def url(self) -> str:
        self._number += 1
        name = f"store{self._number}"
        self.server.execute(f"CREATE DATABASE {name} TEMPLATE template")
        return self.server.url(name)

    @contextmanager
    def lending(self) -> Iterator[Callable[[], str]]:
        """As `url`, for tests of nothing but records: a database that is given back is emptied (0.01 s) for
        the next one, which needs no copy then (0.3 s)."""
        lent: list[str] = []

        def lend() -> str:
            lent.append(self._idle.pop() if self._idle else self.url())
            return lent[-1]

        yield lend
        for url in lent:
            self.server.execute(_EMPTY, name_in(url))
            self._idle.append(url)


_EMPTY = """DO $$ DECLARE found record; BEGIN
    FOR found IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
        LOOP EXECUTE format('DELETE FROM %I', found.tablename); END LOOP;
    FOR found IN SELECT sequencename FROM pg_sequences
        LOOP EXECUTE format('ALTER SEQUENCE %I RESTART', found.sequencename); END LOOP;
END $$"""


def name_in(url: str) -> str:
    """The database's."""
    return url.split("/")[3].partition("?")[0]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresDatabases]:
    # pytest's own folders have names that are too long for a socket's.
    with tempfile.TemporaryDirectory(prefix="pg") as folder, PostgresServer(Path(folder)) as server:
        yield PostgresDatabases(server)


@pytest.fixture(scope="session")
def sqlite_files(tmp_path_factory: pytest.TempPathFactory) -> SqliteFiles:
    return SqliteFiles(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.wire)])
def stores(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stores]:
    numbers = iter(range(1, 1_000_000))
    match request.param:
        case "memory":
            yield Stores("memory", lambda: "memory:")
        case "sqlite":
            files: SqliteFiles = request.getfixturevalue("sqlite_files")
            yield Stores("sqlite", lambda: files.url(tmp_path / f"store-{next(numbers)}.db"))
        case _:
            databases: PostgresDatabases = request.getfixturevalue("postgres")
            monkeypatch.setitem(SESSION, IDLE, "60s")  # a busy machine stands still for seconds
            with databases.lending() as lend:
                yield Stores("postgresql", lend)
