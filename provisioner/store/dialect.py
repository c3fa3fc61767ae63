"""What differs between databases, in one place per database."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import sqlalchemy as sa

from provisioner.core.errors import ProvisionerError


class Database(Protocol):
    """One database: how to reach it, what time it is there, and what its errors mean."""

    engine: sa.Engine  # begins serializable transactions, at once or not; parameters go by position

    def now(self, connection: sa.Connection) -> datetime:
        """The database's wall clock, aware, UTC."""
        ...

    def gave_numbers(self, connection: sa.Connection, table: str, highest: int) -> None:
        """Rows of `table` brought their numbers with them, up to `highest`: it isn't given again."""
        ...

    def changed_elsewhere(self, connection: sa.PoolProxiedConnection) -> bool:
        """Whether another process has changed something since this connection was asked last."""
        ...

    # Errors come as the driver raises them, or wrapped by SQLAlchemy.

    def busy(self, error: Exception) -> bool:
        """Whether a transaction couldn't begin because somebody else is in one: try again soon."""
        ...

    def conflict(self, error: Exception) -> str | None:
        """The field whose value is taken; None when the error is another one."""
        ...

    def failure(self, error: Exception) -> ProvisionerError | None:
        """What a failure of the database means for who called it; None when it is a fault of ours."""
        ...
