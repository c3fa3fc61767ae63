"""Run by Alembic. The program passes its own connection; a developer who makes a new revision
(`alembic -c provisioner/store/migrations/alembic.ini revision --autogenerate -m "why"`) has a scratch one.
"""

import sqlalchemy as sa
from alembic import context

from provisioner.store.schema import METADATA


def _run(connection: sa.Connection) -> None:
    # SQLite can't alter most of a table: batch mode makes a new one and copies.
    context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with sa.create_engine(context.config.get_main_option("sqlalchemy.url") or "sqlite://").begin() as own:
        _run(own)
