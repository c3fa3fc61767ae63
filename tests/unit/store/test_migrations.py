from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from structlog.testing import capture_logs

import provisioner.store
from provisioner.core.model import ApiToken, Instance, KeyPair, Outlet, User
from provisioner.core.roles import Role
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


def test_what_was_there_before_there_were_tenants_is_the_default_ones(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(provisioner.store.__path__[0]) / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.exec_driver_sql("INSERT INTO key_pair VALUES ('k1', 'me', 'ssh-ed25519 AAAA')")
        columns = [row[1] for row in connection.exec_driver_sql("PRAGMA table_info(instance)")]
        old = {**INSTANCE, "flavor": FLAVOR}
        assert set(columns) == set(old)
        names, marks = ", ".join(old), ", ".join("?" * len(old))
        connection.exec_driver_sql(
            f"INSERT INTO instance ({names}) VALUES ({marks})",
            tuple(old.values()),
        )
        connection.exec_driver_sql(f"INSERT INTO api_token VALUES ('t1', 'ci', '{AT}')")
    engine.dispose()

    async def read() -> None:
        store = provisioner.store.open_store(url)
        try:
            key = await store.transact(lambda tx: tx.get(KeyPair, "k1"))
            instance = await store.transact(lambda tx: tx.get(Instance, "i1"))
            token = await store.transact(lambda tx: tx.get(ApiToken, "t1"))
            user = await store.transact(lambda tx: tx.get(User, "admin"))
        finally:
            await store.close()
        assert key == KeyPair(id="k1", name="me", public_key="ssh-ed25519 AAAA", tenant="default")
        assert instance is not None
        assert (instance.name, instance.tenant, instance.reservation_id) == ("web", "default", "")
        # Tokens could do everything, and still can.
        assert token is not None
        assert user is not None
        assert (token.user_id, token.role, user.role) == ("admin", None, Role.ADMIN)

    asyncio.run(read())


SNMP = {"family": "apc_rackpdu", "port": 161}


@pytest.mark.parametrize("second", [[2, 3], [3]], ids=["shared", "not shared"])
def test_outlets_of_nodes_that_were_there_are_theirs_and_who_shares_one_is_told(
    tmp_path: Path, second: list[int]
) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    engine = sa.create_engine(url)
    addresses = [
        ("a", "snmp", {**SNMP, "address": "PDU-A.Example.", "outlets": [1, 2]}),
        ("b", "snmp", {**SNMP, "address": "pdu-a.example", "outlets": second}),
        ("c", "ipmi", {"address": "10.0.0.1"}),
        ("d", "iboot", {"address": "10.0.0.2", "port": 9100}),
        ("e", "http", {"on": "http://me:sesame@plug/on"}),
    ]
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(provisioner.store.__path__[0]) / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0014")
        needed = [(row[1], row[2]) for row in connection.exec_driver_sql("PRAGMA table_info(node)") if row[3]]
        for name, driver, address in addresses:
            row: dict[str, object] = {column: 0 if "INT" in kind else "" for column, kind in needed}
            row |= {"id": f"id-{name}", "name": name, "power_driver": driver, "created_at": AT}
            row["power_address"] = json.dumps(address)
            marks = ", ".join("?" * len(row))
            connection.exec_driver_sql(
                f"INSERT INTO node ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
            )
    engine.dispose()

    async def read() -> list[Outlet]:
        store = provisioner.store.open_store(url)
        try:
            return await store.transact(lambda tx: tx.find(Outlet))
        finally:
            await store.close()

    with capture_logs() as logs:
        outlets = asyncio.run(read())
    of = "of PDU pdu-a.example:161"
    assert sorted((one.name, one.node_id) for one in outlets) == sorted(
        [
            (f"outlet 1 {of}", "id-a"),
            (f"outlet 2 {of}", "id-a"),
            *((f"outlet {number} {of}", "id-b") for number in second),
            ("the outlet at 10.0.0.2:9100", "id-d"),
            ("the outlet at http://plug/on", "id-e"),
        ]
    )
    told = [(log["nodes"], log["outlets"]) for log in logs if log["event"] == "two nodes share outlets"]
    assert told == ([(["a", "b"], [f"outlet 2 {of}"])] if 2 in second else [])


FLAVOR = '{"id": "f1", "name": "small", "cpus": 1, "memory_mib": 1, "disk_mib": 1}'
AT = "2026-01-01T00:00:00.000000+00:00"
INSTANCE: dict[str, object] = {
    "id": "i1",
    "name": "web",
    "image_id": "m1",
    "kernel_id": None,
    "ramdisk_id": None,
    "public_key": "",
    "user_data": "",
    "node_name": None,
    "proof_of_life": "[]",
    "wipe": "quick",
    "state": "active",
    "delete_requested": 0,
    "node_id": None,
    "address": "",
    "failure": None,
    "waiting_for": "",
    "phone_home_sha256": "",
    "created_at": AT,
    "updated_at": AT,
}
