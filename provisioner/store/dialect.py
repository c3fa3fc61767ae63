"""What differs between databases, in one place per database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from provisioner.core.errors import ProvisionerError


class Cursor(Protocol):
    """The driver's own: SQLAlchemy's results cost more than the statements."""

    @property
    def rowcount(self) -> int: ...

    def execute(self, text: Any, parameters: Any = None) -> object: ...

    def executemany(self, text: Any, parameters: Any) -> object: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> Any: ...


class Cursors(Protocol):
    def cursor(self) -> Cursor: ...


class Session(Protocol):
    """A connection in a transaction. `info`: what is remembered beside it."""

    @property
    def connection(self) -> Cursors: ...

    @property
    def info(self) -> dict[Any, Any]: ...


@dataclass(frozen=True, slots=True)
class Taken:
    """The field whose value is another record's already; and that value, where the database tells it."""

    field: str
    value: str = ""


class Database(Protocol):
    """One database: how to reach it, what time it is there, and what its errors mean."""

    engine: sa.Engine  # begins serializable transactions, at once or not; parameters go by position

    @property
    def is_far(self) -> bool:
        """Whether each statement is a way there and back: many rows go in one then, as arrays, one for each
        column, into which `Cursor.executemany` puts them."""
        ...

    def now(self, connection: Session) -> datetime:
        """The database's wall clock, aware, UTC."""
        ...

    def gave_numbers(self, connection: Session, table: str, highest: int) -> None:
        """Rows of `table` brought their numbers with them, up to `highest`: it isn't given again."""
        ...

    def changed_elsewhere(self, connection: sa.PoolProxiedConnection) -> bool:
        """Whether another process has changed something since this connection was asked last."""
        ...

    # Errors come as the driver raises them, or wrapped by SQLAlchemy.

    def busy(self, error: Exception) -> bool:
        """Whether a transaction couldn't begin because somebody else is in one: try again soon."""
        ...

    def conflict(self, error: Exception) -> Taken | None:
        """What is taken; None when the error is another one."""
        ...

    def failure(self, error: Exception) -> ProvisionerError | None:
        """What a failure of the database means for who called it; None when it is a fault of ours."""
        ...
