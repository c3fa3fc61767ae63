"""Where the records live: SQLite, and an in-memory twin."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from provisioner.core.errors import InvalidInput
from provisioner.protocols.store import Store
from provisioner.store.memory import MemoryStore
from provisioner.store.migrate import migrate
from provisioner.store.sql import SqlStore
from provisioner.store.sqlite import Sqlite


def _utc_now() -> datetime:
    return datetime.now(UTC)


def open_store(url: str, *, wall_clock: Callable[[], datetime] = _utc_now) -> Store:
    """Opens `sqlite:////path/to/file.db` (made and upgraded as needed) or `memory:`.

    `wall_clock` is the clock of an embedded store. Errors: InvalidInput for another URL;
    PermanentError or TransientError, with advice, when the database can't be opened.
    """
    if url == "memory:":
        return MemoryStore(wall_clock)
    if url.startswith("sqlite:////"):
        database = Sqlite(Path(url.removeprefix("sqlite:///")), wall_clock)
        try:
            migrate(database)
        except BaseException:
            database.engine.dispose()
            raise
        return SqlStore(database)
    raise InvalidInput(
        "open the store",
        field="database_url",
        answer=f"{url.partition(':')[0] or 'an empty address'} is not a kind of database that is known",
        advice="Use sqlite:////absolute/path/file.db, or memory: to keep nothing",
    )
