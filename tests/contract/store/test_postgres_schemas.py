"""Which databases are opened and upgraded, and which are refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from provisioner.core.errors import InvalidInput, PermanentError, TransientError
from provisioner.core.model import Node, Outlet
from provisioner.protocols.store import Store
from provisioner.store import open_store, upgrade_store
from provisioner.store.migrate import REVISIONS, _migrate
from provisioner.store.schema import METADATA
from tests.contract.store.conftest import PostgresDatabases, name_in
from tests.contract.store.hosts import play
from tests.contract.store.records import node

pytestmark = pytest.mark.wire


def test_an_empty_database_is_refused_until_it_is_upgraded_and_a_newer_one_always(
    postgres: PostgresDatabases,
) -> None:
    url = postgres.server.new_database()
    with pytest.raises(PermanentError, match=r"none yet.*older than this program.*provisioner db upgrade"):
        open_store(url)
    assert upgrade_store(url)[0] is None
    assert upgrade_store(url)[0] == upgrade_store(url)[1]
    open_store(url)
    postgres.server.execute(f"UPDATE alembic_version SET version_num = '{REVISIONS[0]}'", name_in(url))
    with pytest.raises(PermanentError, match=rf"{REVISIONS[0]}.*older than this program.*Back it up, then"):
        open_store(url)
    postgres.server.execute("UPDATE alembic_version SET version_num = '9999'", name_in(url))
    with pytest.raises(PermanentError, match=r"9999.*newer than this program.*Upgrade the provisioner"):
        open_store(url)
    with pytest.raises(PermanentError, match="newer than this program"):
        upgrade_store(url)


def test_what_is_open_goes_on_when_the_schema_of_a_newer_version_has_more_columns(
    postgres: PostgresDatabases,
) -> None:
    """Hosts are upgraded one by one."""
    url = postgres.url()

    async def story(store: Store) -> list[int]:
        return [await written(store, number) for number in range(20)]  # by statements that are prepared, too

    async def written(store: Store, number: int) -> int:
        await store.transact(lambda tx: tx.insert(node(f"n{number}")))
        await store.transact(lambda tx: tx.update(Node, f"id-n{number}", {"fence": number}))
        if number == 9:
            for table in METADATA.tables:
                adds = f"ALTER TABLE \"{table}\" ADD COLUMN newer text NOT NULL DEFAULT ''"
                postgres.server.execute(adds, name_in(url))
        found = await store.transact(lambda tx: tx.get(Node, f"id-n{number}"))
        assert found is not None
        return found.fence

    assert play(url, story) == [list(range(20))]


def test_an_upgrade_writes_down_whose_the_outlets_of_nodes_are(postgres: PostgresDatabases) -> None:
    url = postgres.url()
    power = {"family": "apc_rackpdu", "address": "pdu-a", "port": 161, "outlets": [1, 2]}

    async def enrolled_before(store: Store) -> None:
        there = (replace(node(name), power_driver="snmp", power_address=power) for name in ("a", "b"))
        await store.transact(lambda tx: tx.insert(*there))

    play(url, enrolled_before)
    for undone in (
        "DROP TABLE outlet",
        "DROP INDEX ix_instance_name_tenant_state",
        "CREATE INDEX ix_instance_name ON instance (name)",
    ):
        postgres.server.execute(undone, name_in(url))
    postgres.server.execute("UPDATE alembic_version SET version_num = '0014'", name_in(url))
    assert upgrade_store(url) == ("0014", REVISIONS[-1])

    async def found(store: Store) -> list[Outlet]:
        return await store.transact(lambda tx: tx.find(Outlet))

    (outlets,) = play(url, found)
    of = "of PDU pdu-a:161"
    assert sorted((one.name, one.node_id) for one in outlets) == [
        (f"outlet {number} {of}", f"id-{name}") for number in (1, 2) for name in ("a", "b")
    ]


def test_an_upgrade_may_pause_between_two_statements(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a host that serves nodes may not: it is taken for one that stands still."""
    url, seen = postgres.server.new_database(), list[str]()

    def looked_at(connection: sa.Connection) -> tuple[str | None, str]:
        asked = connection.execute(sa.text("SHOW idle_in_transaction_session_timeout"))
        seen.append(asked.scalar_one())
        return _migrate(connection)

    monkeypatch.setattr(sys.modules[_migrate.__module__], "_migrate", looked_at)
    upgrade_store(url)
    assert seen == ["1min"]


def test_a_database_of_something_else_is_refused(postgres: PostgresDatabases) -> None:
    url = postgres.server.new_database()
    postgres.server.execute("CREATE TABLE songs (title text)", name_in(url))
    for use in (open_store, upgrade_store):
        with pytest.raises(PermanentError, match="songs"):
            use(url)


def test_a_database_that_does_not_exist_or_a_server_that_does_not_run_is_named(
    postgres: PostgresDatabases, tmp_path: Path
) -> None:
    with pytest.raises((PermanentError, TransientError), match="nowhere"):
        open_store(postgres.server.url("nowhere"))
    with pytest.raises(TransientError, match="Look whether it runs"):
        open_store(f"postgresql+psycopg://provisioner@/x?host={tmp_path}")


def test_a_password_in_the_address_is_refused_without_repeating_it() -> None:
    with pytest.raises(InvalidInput, match="database_password_file") as raised:
        open_store("postgresql+psycopg://provisioner:sesame@db/provisioner")
    assert "sesame" not in raised.value.message


def test_an_address_of_no_known_database_is_no_file_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("mysql://root:sesame@db/x", "postgresql://root:sesame@db/x", "sqlite:///x.db"):
        for use in (open_store, upgrade_store):
            with pytest.raises(InvalidInput, match="not a kind of database") as raised:
                use(url)
            assert "sesame" not in raised.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_memory_has_nothing_to_upgrade_and_is_a_kind_that_is_known() -> None:
    with pytest.raises(InvalidInput, match="keeps none") as raised:
        upgrade_store("memory:")
    assert "memory: to keep nothing" not in raised.value.message
