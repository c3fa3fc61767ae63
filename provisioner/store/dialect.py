"""What differs between databases, in one place per database."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from provisioner.core.errors import ProvisionerError


class Database(Protocol):
    """One database: how to reach it, what time it is there, and what its errors mean."""

    engine: sa.Engine  # begins serializable transactions, at once or not; parameters go by position

    def now(self, connection: sa.Connection) -> datetime:
        """The database's wall clock, aware, UTC."""
        ...

    def busy(self, error: DBAPIError) -> bool:
        """Whether a transaction couldn't begin because somebody else is in one: try again soon."""
        ...

    def conflict(self, error: IntegrityError) -> str | None:
        """The field whose value is taken; None when the error is another breach, so a fault of ours."""
        ...

    def failure(self, error: DBAPIError) -> ProvisionerError | None:
        """What a failure of the database means for who called it; None for a fault of ours."""
        ...
