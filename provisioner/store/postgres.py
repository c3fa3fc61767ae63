"""PostgreSQL: the store of more than one compute host."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import errors as pg
from sqlalchemy.exc import ArgumentError, DBAPIError

from provisioner.core.errors import (
    InvalidInput,
    PermanentError,
    ProvisionerError,
    StorageFull,
    TransientError,
)
from provisioner.store.brief_connection import BriefConnection
from provisioner.store.dialect import Session, Taken
from provisioner.store.postgres_line import Line
from provisioner.store.postgres_numbers import NUMBERS
from provisioner.store.schema import METADATA

CONNECT_TIMEOUT_S = 4  # whole seconds, as libpq has them, and at least 2
SESSION = {
    # A host that is frozen or cut off in the middle of a transaction holds its rows no longer than this:
    # less than the shortest lease, which others must be able to renew.
    "idle_in_transaction_session_timeout": "2s",
    # Where a part of what a host says has come and the rest was lost, the server doesn't count the host as
    # idle: only a probe, after a second in which nothing came, tells that nobody is there any more.
    "tcp_keepalives_idle": "1s",
    "tcp_keepalives_interval": "1s",
    "tcp_keepalives_count": "2",
    "lock_timeout": "5s",
    "statement_timeout": "30s",
    # Reading a small table as a whole would make it conflict with whoever writes any row of it; and so would
    # these two, where rows are looked up by an array of their ids.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "synchronous_commit": "on",  # a role's or a database's default may be laxer
}


CHANNEL = "provisioner"
"""What others are notified by."""

SERVER = "concat_ws(' ', pg_postmaster_start_time(), pg_last_wal_replay_lsn())"
"""Which server answers: since when it runs, and from where it has recovered. One of whose sessions one was
killed forgets all that wasn't on its disk, and goes on as the same process."""

_MARK = "mark"
_NOW_AND_MARK = ", ".join(
    (
        "SELECT transaction_timestamp()",
        "pg_current_xact_id()::text",
        SERVER,
        *(numbers.announce for numbers in NUMBERS.values()),
    )
)


@dataclass(frozen=True, slots=True)
class Mark:
    """By what a transaction is known afterwards. Numbers may be given again by a server that crashed, so
    they are believed only from the one that gave them (SERVER)."""

    transaction: str
    server: str


class Again(TransientError):
    """The database undid the transaction since it met another one: run it again."""


class Away(TransientError):
    """The database can't be reached, or the connection to it broke."""


class Postgres:
    """Implements `provisioner.store.dialect.Database`."""

    is_far = True

    def __init__(self, url: str, password: str = "") -> None:
        """Connects to nothing yet. Raises InvalidInput, which doesn't repeat the address."""
        self.url = _parsed(url)
        server = self.url.host or self.url.query.get("host", "localhost")
        self.device = f"database {self.url.database or ''} at {server}"
        self._arguments = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "provisioner",
            "options": " ".join(f"-c {name}={value}" for name, value in SESSION.items()),
            # A connection that died silently is noticed without anybody's asking, where TCP is used.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            # And what was sent and isn't acknowledged keeps the kernel from sending any of those.
            "tcp_user_timeout": 11_000,  # ms, as long as they take
            # Of several servers, the one that takes writes.
            "target_session_attrs": "read-write",
            **({"password": password} if password else {}),
        }
        # Compiles statements, and never connects.
        self.engine = sa.create_engine(self.url, paramstyle="format", hide_parameters=True)

    @contextmanager
    def blocking(self) -> Iterator[sa.Engine]:
        """An engine for what happens before anything else runs: looking at the schema, changing it."""
        engine = sa.create_engine(
            self.url, connect_args=self._arguments, hide_parameters=True, use_native_hstore=False
        )
        try:
            yield engine
        except DBAPIError as error:
            raise self.failure(error) or error from error
        finally:
            engine.dispose()

    async def line(self) -> Line:
        """For serializable transactions."""
        driver = await BriefConnection.connect(**self._named)
        await driver.set_isolation_level(psycopg.IsolationLevel.SERIALIZABLE)
        return Line(driver)

    async def connect(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        """A connection of its own, in autocommit mode."""
        return await psycopg.AsyncConnection.connect(autocommit=True, **self._named)

    @property
    def _named(self) -> dict[str, Any]:
        """What a connection is made with."""
        url = self.url
        named: dict[str, Any] = {
            "host": url.host,
            "port": url.port,
            "user": url.username,
            "dbname": url.database,
            **url.query,
        }
        given = {name: value for name, value in named.items() if value is not None}
        return {**given, **self._arguments}

    def now(self, connection: Session) -> datetime:
        """Of the transaction's beginning: of a whole group, then, which asks once. Whoever asks mostly writes
        what it is told, so the transaction's mark comes with it."""
        now, _ = self.now_and_mark(connection)
        return now

    def now_and_mark(self, connection: Session, payloads: Sequence[str] = ()) -> tuple[datetime, Mark]:
        """payloads: what the commit is to notify others of."""
        cursor = connection.connection.cursor()
        calls = "".join(f", pg_notify('{CHANNEL}', %s)" for _ in payloads)
        asked = f"{_NOW_AND_MARK}{calls}"
        cursor.execute(asked, tuple(payloads))
        row = cursor.fetchone()
        assert row is not None
        now: datetime = row[0]
        connection.info[_MARK] = mark = Mark(row[1], row[2])
        return now.astimezone(UTC), mark

    def mark(self, connection: Session) -> Mark | None:
        """Of the transaction, if it has been asked for."""
        found: Mark | None = connection.info.get(_MARK)
        return found

    def forget_mark(self, connection: Session) -> None:
        """Another transaction begins."""
        connection.info.pop(_MARK, None)

    def go_first(self, connection: Session) -> None:
        """Whoever would write what owners are decided by waits until this transaction, of which it is the
        first statement, has ended. Raises what `failure` knows, soon: a lock that is waited for holds up the
        others already."""
        cursor = connection.connection.cursor()
        cursor.execute(
            "SET LOCAL lock_timeout = '1s'; LOCK TABLE host, node IN EXCLUSIVE MODE;"
            f" SET LOCAL lock_timeout = '{SESSION['lock_timeout']}'"
        )

    def numbers(self, connection: Session, table: str) -> tuple[int, int]:
        """The last number that was given to a record of `table`; and up to which all are stored that ever
        will be, apart from those of this connection's own transaction."""
        cursor = connection.connection.cursor()
        return NUMBERS[table].ask(cursor)

    def gave_numbers(self, connection: Session, table: str, highest: int) -> None:
        cursor = connection.connection.cursor()
        series = "pg_get_serial_sequence(%s, 'id')"
        cursor.execute(
            f"SELECT setval({series}, greatest(nextval({series}), %s))",
            (table, table, highest),
        )

    def changed_elsewhere(self, connection: sa.PoolProxiedConnection) -> bool:
        return False  # its own wake-ups tell

    def busy(self, error: Exception) -> bool:
        return False  # beginning a transaction waits for nobody

    def conflict(self, error: Exception) -> Taken | None:
        cause = _cause(error)
        if not isinstance(cause, pg.UniqueViolation):
            return None
        # By the constraint's name, and by what has no words: the message is in the server's language.
        name = cause.diag.constraint_name or ""
        value = re.search(r"\)=\((.*)\)", cause.diag.message_detail or "", re.DOTALL)
        return Taken(_FIELDS.get(name, name or "a value"), value[1] if value else "")

    def failure(self, error: Exception) -> ProvisionerError | None:
        if isinstance(error, ProvisionerError):
            return error
        cause = _cause(error)
        answer = " ".join(str(cause).split())
        match cause:
            case (
                pg.SerializationFailure() | pg.DeadlockDetected() | pg.LockNotAvailable() | pg.QueryCanceled()
            ):
                return Again("use the database", device=self.device, answer=answer, advice="Try again")
            case pg.IdleInTransactionSessionTimeout():
                # We stood still between two statements: nothing of them was stored, no commit was read.
                return Again("use the database", device=self.device, answer=answer, advice="Try again")
            case pg.DiskFull():
                advice = "Free space on the database's disk; nothing of it was stored"
                return StorageFull("write to the database", device=self.device, answer=answer, advice=advice)
            case pg.InvalidPassword() | pg.InvalidAuthorizationSpecification() | pg.InvalidCatalogName():
                advice = "Set database and database_password_file to a database and a role of the server's"
                return PermanentError("open the database", device=self.device, answer=answer, advice=advice)
            case pg.InsufficientPrivilege():
                advice = "The role must own the database's tables, or be granted them"
                return PermanentError("use the database", device=self.device, answer=answer, advice=advice)
            case pg.UndefinedTable() | pg.UndefinedColumn():
                advice = "Run `provisioner db upgrade`, and the same version on every host"
                return PermanentError("use the database", device=self.device, answer=answer, advice=advice)
            case psycopg.DataError():
                return InvalidInput("store a value", answer=answer)
            case (
                psycopg.OperationalError()
                | psycopg.InterfaceError()
                | pg.ReadOnlySqlTransaction()
                | OSError()
            ):
                advice = (
                    "Look whether it runs and is reached from here; who runs already tries again by itself"
                )
                return Away("use the database", device=self.device, answer=answer, advice=advice)
        return None


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidInput(
            "open the store",
            field="database",
            answer="the address can't be read",
            advice="Write postgresql+psycopg://user@host:port/database",
        ) from None
    if parsed.password is not None or "password" in parsed.query:
        raise InvalidInput(
            "open the store",
            field="database",
            answer="it holds a password, which anyone sees who sees the configuration",
            advice="Put the password into a file named by database_password_file, or into PGPASSFILE's",
        )
    return parsed


def _cause(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def _fields() -> Iterator[tuple[str, str]]:
    for table in METADATA.tables.values():
        for constraint in table.constraints:
            columns = [column.name for column in getattr(constraint, "columns", ())]
            if isinstance(constraint, sa.UniqueConstraint | sa.PrimaryKeyConstraint) and len(columns) == 1:
                own = isinstance(constraint, sa.UniqueConstraint)
                yield (f"uq_{table.name}_{columns[0]}" if own else f"pk_{table.name}"), columns[0]


_FIELDS = dict(_fields())
