from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import provisioner.store
from provisioner.store.migrate import REVISIONS
from provisioner.store.schema import METADATA


def test_the_revisions_lead_to_the_tables_of_the_program(tmp_path: Path) -> None:
    provisioner.store.open_store(f"sqlite:///{tmp_path}/store.db")
    engine = sa.create_engine(f"sqlite:///{tmp_path}/store.db")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
        made = dict(
            connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").all()
        )
    engine.dispose()
    # What the comparison doesn't see: AUTOINCREMENT.
    assert "AUTOINCREMENT" in made["timeline_event"]


def test_the_program_knows_its_revisions_in_order() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(provisioner.store.__path__[0]) / "migrations"))
    found = [revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(found)) == REVISIONS
