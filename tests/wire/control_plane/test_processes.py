"""API and compute hosts as processes of their own."""

from __future__ import annotations

import signal
import sqlite3
import urllib.request
from contextlib import closing
from typing import Any

import pytest

from fixtures.postgres_server import PostgresServer
from provisioner.cli.exits import CONFLICT, USAGE
from provisioner.store import upgrade_store
from provisioner.store.migrate import REVISIONS
from tests.contract.store.conftest import name_in
from tests.ports import free_port
from tests.wire.cli.conftest import eventually
from tests.wire.control_plane.conftest import ControlPlane

pytestmark = pytest.mark.wire


def test_api_and_compute_host_share_a_state_folder_and_sqlite(embedded: ControlPlane) -> None:
    embedded.start()
    host = embedded.host("here", state=embedded.state)
    host.start()
    embedded.enrol("n1")
    embedded.register_images()
    made = embedded.cli("instance", "create", "web", "--image", "root", "--wait")
    assert made.code == 0, made.err + host.log()
    assert embedded.json("instance", "show", "web")["state"] == "active"
    # Consoles are the compute host's: that is said, rather than that there was nothing.
    assert "recorded by compute hosts" in embedded.refused(CONFLICT, "node", "console", "n1")


def test_a_second_compute_host_on_sqlite_is_refused_with_what_to_do(embedded: ControlPlane) -> None:
    embedded.start()
    first, second = embedded.host("a"), embedded.host("b")
    first.start()
    eventually("a has its lease", lambda: "a" in embedded.hosts())
    second.start()
    assert second.wait() == 1
    assert "SQLite serves one compute host" in second.log()
    assert "Traceback" not in second.log()
    first.signal(signal.SIGKILL)
    first.wait()
    second.start()
    eventually("b has its lease", lambda: "b" in embedded.hosts())


def test_a_second_host_of_one_name_is_refused_while_the_first_one_lives(plane: ControlPlane) -> None:
    plane.start()
    first = plane.host("a")
    second = plane.host("a", state=plane.folder / "elsewhere", file="second")
    first.start()
    eventually("a has its lease", lambda: "a" in plane.hosts())
    second.start()
    assert second.wait() == 1
    assert "Give this one another host.name" in second.log()
    first.signal(signal.SIGKILL)
    first.wait()
    before = plane.hosts()["a"]["epoch"]
    second.start()
    eventually("the second has the lease", lambda: plane.hosts()["a"]["epoch"] > before)


def test_two_hosts_share_nodes_and_one_takes_over_what_the_other_dies_with(plane: ControlPlane) -> None:
    plane.start()
    a, b = plane.host("a"), plane.host("b")
    a.start()
    b.start()
    eventually("both have a lease", lambda: {"a", "b"} <= set(plane.hosts()))
    plane.enrol(*(f"n{number}" for number in range(6)))
    eventually("both own nodes", lambda: all(host["nodes"] for host in plane.hosts().values()))
    a.signal(signal.SIGKILL)
    a.wait()
    eventually("b owns all of them", lambda: plane.hosts()["b"]["nodes"] == 6)
    plane.register_images()
    for number in range(6):
        words = ("--image", "root", "--node", f"n{number}", "--wait")
        made = plane.cli("instance", "create", f"i{number}", *words)
        assert made.code == 0, made.err + b.log()


def test_a_database_without_the_schema_is_refused_until_it_is_upgraded(
    plane: ControlPlane, server: PostgresServer
) -> None:
    empty = ControlPlane(plane.folder / "e", server.new_database())
    try:
        empty.api.start()
        assert empty.api.wait() == 1
        assert "provisioner db upgrade" in empty.api.log()
        assert "Traceback" not in empty.api.log()
        assert empty.json("db", "upgrade")["before"] is None
        empty.start()
    finally:
        empty.close()


SCHEMAS = {
    "older": (REVISIONS[0], "Back it up, then run `provisioner db upgrade`"),
    "newer": ("9999", "Upgrade the provisioner"),
}


@pytest.mark.parametrize("role", ["api", "compute", "serve"])
@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_database_of_another_version_is_refused_at_the_start_with_what_to_do(
    plane: ControlPlane, server: PostgresServer, role: str, schema: str
) -> None:
    revision, advice = SCHEMAS[schema]
    server.execute(f"UPDATE alembic_version SET version_num = '{revision}'", name_in(plane.database))
    process = plane.of_role("a", role)
    process.start()
    assert process.wait() == 1
    assert f"{schema} than this program" in process.log()
    assert advice in process.log()
    assert "Traceback" not in process.log()


@pytest.mark.parametrize("role", ["api", "compute", "serve"])
def test_sqlite_of_a_newer_version_is_refused_at_the_start_with_what_to_do(
    embedded: ControlPlane, role: str
) -> None:
    upgrade_store(embedded.database)
    with closing(sqlite3.connect(embedded.database.removeprefix("sqlite:///"))) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    process = embedded.of_role("a", role)
    process.start()
    assert process.wait() == 1
    assert "newer than this program" in process.log() and "Upgrade the provisioner" in process.log()
    assert "Traceback" not in process.log()


def test_a_compute_host_tells_its_own_metrics_where_it_is_told_to(plane: ControlPlane) -> None:
    plane.start()
    port = free_port()
    host = plane.host("a", metrics_listen=f"127.0.0.1:{port}")
    host.start()
    eventually("a has its lease", lambda: "a" in plane.hosts())
    plane.enrol("n1")

    def told() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
        assert "provisioner_power_devices_left_alone 0.0" in text
        assert "provisioner_nodes_served_otherwise 0.0" in text
        return 'provisioner_step_seconds_count{step="verify_power"} 1.0' in text

    eventually("its steps are told", told)
    host.signal(signal.SIGTERM)
    assert host.wait() == 0
    second = plane.host("b", metrics_listen="203.0.113.1:9128")
    second.start()
    assert second.wait() == 1
    assert "Set host.metrics_listen to an address and port of ours" in second.log()


SLOW_PROGRAMS = {"power": {"commands": {"lab": "/bin/true"}, "command_timeout_s": 30}}
SHORT_LEASES: dict[str, tuple[dict[str, Any], float, str]] = {
    "a command of any driver": ({}, 4.0, "host.lease_ttl_s: a command to a BMC or a PDU may take 4 s"),
    "a program's": (SLOW_PROGRAMS, 30.0, "make the lease longer, 31 s or more"),
}
"""What the lease has no room for: the other settings, the lease, and what is told."""


@pytest.mark.parametrize("role", ["compute", "serve"])
@pytest.mark.parametrize("longest", SHORT_LEASES)
def test_a_lease_without_room_for_the_longest_command_is_refused_at_the_start_with_what_to_do(
    embedded: ControlPlane, role: str, longest: str
) -> None:
    others, lease_s, advice = SHORT_LEASES[longest]
    process = embedded.of_role("a", role, others=others, lease_ttl_s=lease_s)
    process.start()
    assert process.wait() == USAGE
    assert advice in process.log()
    assert "Traceback" not in process.log()
    assert len(process.log().splitlines()) == 1
