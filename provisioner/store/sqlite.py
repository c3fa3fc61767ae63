"""SQLite: one file, embedded. The default of `provisioner serve`."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from provisioner.core.errors import PermanentError, ProvisionerError, StorageFull, TransientError
from provisioner.store.dialect import Session, Taken

_PRAGMAS = (
    "busy_timeout = 5000",  # ms; the next one may have to wait for another process
    "journal_mode = WAL",  # readers (an operator's sqlite3) and the writer don't block each other
    "synchronous = FULL",  # a commit is on the disk when it returns; in WAL mode NORMAL is not enough
    "wal_autocheckpoint = 4000",  # pages of 4 KiB: a checkpoint costs fsyncs, so not one per few commits
    "cache_size = -65536",  # KiB, filled as it is used: ten thousand nodes don't fit into the usual 2 MiB
    "busy_timeout = 0",  # from here on whoever begins a transaction waits, without blocking its thread
)


class Sqlite:
    """Implements `provisioner.store.dialect.Database`."""

    is_far = False

    def __init__(self, path: Path, wall_clock: Callable[[], datetime]) -> None:
        """Errors: PermanentError when the file can't be made or opened, or is something else."""
        self._path = path
        self._wall_clock = wall_clock
        self._create_private()
        # hide_parameters: an error's text must not carry sealed secrets or user data.
        # isolation_level None: sqlite3 would begin transactions by itself, and later than we want.
        self.engine = sa.create_engine(
            f"sqlite:///{path}", connect_args={"isolation_level": None}, hide_parameters=True
        )
        sa.event.listen(self.engine, "connect", _configure)
        sa.event.listen(self.engine, "begin", _begin)

    def _create_private(self) -> None:
        # Readable by its owner only; SQLite gives the files beside it the same mode.
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise PermanentError(
                "open the database",
                device=f"file {self._path}",
                answer=error.strerror or str(error),
                advice="Its folder must exist and be writable by the provisioner",
            ) from error

    def now(self, connection: Session) -> datetime:
        # An embedded database runs on this machine's clock.
        return self._wall_clock()

    def gave_numbers(self, connection: Session, table: str, highest: int) -> None:
        pass  # AUTOINCREMENT goes on after the highest that there ever was

    def changed_elsewhere(self, connection: sa.PoolProxiedConnection) -> bool:
        # A number that changes with every commit of other connections, as this one sees it. The pool has one
        # connection only, since there is one writer.
        cursor = connection.cursor()
        cursor.execute("PRAGMA data_version")
        (version,) = cursor.fetchall()[0]
        cursor.close()
        before = connection.info.get("data_version", version)
        connection.info["data_version"] = version
        return bool(before != version)

    def busy(self, error: Exception) -> bool:
        return _code(error) & 0xFF == sqlite3.SQLITE_BUSY

    def conflict(self, error: Exception) -> Taken | None:
        if _code(error) not in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
            return None
        # "UNIQUE constraint failed: node.name"
        return Taken(str(_cause(error)).rsplit(".", 1)[-1])

    def failure(self, error: Exception) -> ProvisionerError | None:
        device, answer = f"file {self._path}", str(_cause(error))
        match _code(error) & 0xFF:  # the primary code; the rest says where it happened
            case sqlite3.SQLITE_FULL:
                advice = f"Free space on the file system of {self._path.parent}; nothing of it was stored"
                return StorageFull("write to the database", device=device, answer=answer, advice=advice)
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                advice = f"Another process holds it (fuser {self._path} shows which): stop it, or try again"
                return TransientError("use the database", device=device, answer=answer, advice=advice)
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN:
                advice = "Look at the disk that holds it (dmesg, df)"
                return TransientError("use the database", device=device, answer=answer, advice=advice)
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
                advice = "The file, its folder and the -wal and -shm files beside it must be writable"
                return PermanentError("write to the database", device=device, answer=answer, advice=advice)
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                advice = "Restore it from a backup, or name another file"
                return PermanentError("read the database", device=device, answer=answer, advice=advice)
        return None


def _cause(error: Exception) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def _code(error: Exception) -> int:
    """SQLite's extended result code; SQLITE_OK for what isn't an error of SQLite."""
    return getattr(_cause(error), "sqlite_errorcode", sqlite3.SQLITE_OK)


def _configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    # IMMEDIATE takes the write lock now, where waiting is possible; a lock that is only wanted after
    # reading fails at once when somebody else wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
