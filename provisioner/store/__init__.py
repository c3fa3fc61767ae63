"""Where the records live: SQLite, PostgreSQL for more than one host, and an in-memory twin."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from provisioner.core.errors import InvalidInput
from provisioner.protocols.store import Store
from provisioner.store.memory import MemoryStore
from provisioner.store.migrate import check_postgres, migrate, upgrade_postgres
from provisioner.store.sql import SqlStore
from provisioner.store.sqlite import Sqlite

SQLITE = "sqlite:////"
POSTGRES = "postgresql+psycopg://"


def _utc_now() -> datetime:
    return datetime.now(UTC)


def open_store(url: str, *, wall_clock: Callable[[], datetime] = _utc_now, password: str = "") -> Store:
    """Opens `sqlite:////path/to/file.db` (made and upgraded as needed), `postgresql+psycopg://user@host/name`
    (which must have this program's schema) or `memory:`.

    `wall_clock` is the clock of an embedded store. Errors: InvalidInput for another URL;
    PermanentError or TransientError, with advice, when the database can't be opened.
    """
    if url == "memory:":
        return MemoryStore(wall_clock)
    if url.startswith(SQLITE):
        database = Sqlite(Path(url.removeprefix("sqlite:///")), wall_clock)
        try:
            migrate(database)
        except BaseException:
            database.engine.dispose()
            raise
        return SqlStore(database)
    if url.startswith(POSTGRES):
        # Its driver takes 13 MiB, which who runs on SQLite shall not pay.
        from provisioner.store.postgres import Postgres
        from provisioner.store.postgres_store import PostgresStore

        postgres = Postgres(url, password)
        check_postgres(postgres)
        return PostgresStore(postgres)
    raise _unknown(url)


def upgrade_store(url: str, password: str = "") -> tuple[str | None, str]:
    """Brings the schema of a database up to this program's; the revisions before (None: it was empty) and
    after. Errors: as `open_store`."""
    if url.startswith(POSTGRES):
        from provisioner.store.postgres import Postgres

        return upgrade_postgres(Postgres(url, password))
    if url == "memory:":
        raise InvalidInput(
            "upgrade the database",
            field="database",
            answer="with memory: there is none to upgrade, it keeps none",
        )
    if not url.startswith(SQLITE):
        raise _unknown(url)
    database = Sqlite(Path(url.removeprefix("sqlite:///")), _utc_now)
    try:
        return migrate(database)
    finally:
        database.engine.dispose()


def _unknown(url: str) -> InvalidInput:
    # Its kind alone: the rest may hold a password.
    return InvalidInput(
        "open the store",
        field="database",
        answer=f"{url.partition(':')[0] or 'an empty address'} is not a kind of database that is known",
        advice=f"Use {SQLITE}absolute/path/file.db, {POSTGRES}user@host/name, or memory: to keep nothing",
    )
