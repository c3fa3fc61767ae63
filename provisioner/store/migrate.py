"""Brings a database's schema up to this program's, by the revisions in `migrations/versions`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from provisioner.core.errors import PermanentError
from provisioner.store.dialect import Database

if TYPE_CHECKING:  # what SQLite alone is opened with doesn't load PostgreSQL's driver
    from provisioner.store.postgres import Postgres

REVISIONS = tuple(f"{number:04}" for number in range(1, 17))
"""Oldest first; kept here so that opening a current database needs no Alembic."""

BUSY_WAIT_S = 5.0  # how long another process may hold the database before we say so
BUSY_POLL_S = 0.05

_VERSION = sa.table("alembic_version", sa.column("version_num"))


def migrate(database: Database) -> tuple[str | None, str]:
    """Makes or upgrades the schema, in one transaction; the revisions before and after.

    Errors: PermanentError when the schema is newer than this program or the database holds something
    else; whatever the database's failures mean.
    """
    until = time.monotonic() + BUSY_WAIT_S
    while True:
        try:
            # It excludes other writers: of two processes that open a new file, one makes it.
            with database.engine.begin() as connection:
                return _migrate(connection)
        except DBAPIError as error:
            if not database.busy(error) or time.monotonic() > until:
                raise database.failure(error) or error from error
            time.sleep(BUSY_POLL_S)


def upgrade_postgres(database: Postgres) -> tuple[str | None, str]:
    """Makes or upgrades the schema; the revisions before and after. Errors: as `migrate`."""
    with database.blocking() as engine, engine.begin() as connection:
        # Between two statements a slow host may pause for longer than one that serves nodes may.
        connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '60s'"))
        # Of several that upgrade at once, one does.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("provisioner schema"))))
        return _migrate(connection)


def check_postgres(database: Postgres) -> None:
    """Raises PermanentError unless the schema is this program's: hosts of another version may be using it,
    so that it changes only when somebody says so."""
    with database.blocking() as engine, engine.connect() as connection:
        found = _revision(connection)
        if found is None:
            _refuse_foreign(connection, database.device)
        if found is not None and found not in REVISIONS:
            raise _too_new(found, database.device)
        if found != REVISIONS[-1]:
            raise PermanentError(
                "open the database",
                device=database.device,
                answer=f"its schema ({found or 'none yet'}) is older than this program ({REVISIONS[-1]})",
                advice="Back it up, then run `provisioner db upgrade`",
            )


def _too_new(found: str, device: str) -> PermanentError:
    return PermanentError(
        "open the database",
        device=device,
        answer=f"its schema ({found}) is newer than this program ({REVISIONS[-1]})",
        advice="Upgrade the provisioner, or restore the backup made before its upgrade",
    )


def _migrate(connection: sa.Connection) -> tuple[str | None, str]:
    found = _revision(connection)
    if found is None:
        _refuse_foreign(connection, str(connection.engine.url))
    elif found not in REVISIONS:
        raise _too_new(found, str(connection.engine.url))
    if found != REVISIONS[-1]:
        _upgrade(connection)
    return found, REVISIONS[-1]


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    return connection.execute(sa.select(_VERSION.c.version_num)).scalar_one_or_none()


def _refuse_foreign(connection: sa.Connection, device: str) -> None:
    tables = sa.inspect(connection).get_table_names()
    if tables:
        raise PermanentError(
            "open the database",
            device=device,
            answer=f"it holds tables of something else ({', '.join(sorted(tables)[:5])})",
            advice="Name a database of the provisioner's, or one that is empty",
        )


def _upgrade(connection: sa.Connection) -> None:
    # Imported here: it costs a fifth of a second, and hardly any start needs it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
