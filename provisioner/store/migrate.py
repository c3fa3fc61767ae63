"""Brings a database's schema up to this program's, by the revisions in `migrations/versions`."""

from __future__ import annotations

import time
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from provisioner.core.errors import PermanentError
from provisioner.store.dialect import Database

REVISIONS = ("0001", "0002")  # oldest first; kept here so that opening a current database needs no Alembic

BUSY_WAIT_S = 5.0  # how long another process may hold the database before we say so
BUSY_POLL_S = 0.05

_VERSION = sa.table("alembic_version", sa.column("version_num"))


def migrate(database: Database) -> None:
    """Makes or upgrades the schema, in one transaction.

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


def _migrate(connection: sa.Connection) -> None:
    found = _revision(connection)
    if found is None:
        _refuse_foreign(connection)
    elif found not in REVISIONS:
        raise PermanentError(
            "open the database",
            device=str(connection.engine.url),
            answer=f"its schema ({found}) is newer than this program ({REVISIONS[-1]})",
            advice="Upgrade the provisioner, or restore the backup made before its upgrade",
        )
    if found != REVISIONS[-1]:
        _upgrade(connection)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    return connection.execute(sa.select(_VERSION.c.version_num)).scalar_one_or_none()


def _refuse_foreign(connection: sa.Connection) -> None:
    tables = sa.inspect(connection).get_table_names()
    if tables:
        raise PermanentError(
            "open the database",
            device=str(connection.engine.url),
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
