"""PostgreSQL restarted, silent, or gone: hosts stop acting in time, and nothing is lost."""

from __future__ import annotations

import pytest

from fixtures.postgres_server import PostgresServer
from tests.wire.cli.conftest import eventually
from tests.wire.control_plane.conftest import ControlPlane, Process

pytestmark = pytest.mark.wire

TRIES = 3
"""To use the database again, while it is away."""


@pytest.fixture
def host(plane: ControlPlane) -> Process:
    """One that has a node, with the image `root`; the API runs too."""
    plane.start()
    host = plane.host("a")
    host.start()
    plane.enrol("n1", "n2", "n3")
    plane.register_images()
    return host


def deployed(plane: ControlPlane, name: str) -> bool:
    return bool(plane.json("instance", "show", name)["state"] == "active")


def test_a_restart_in_the_middle_of_deploys_is_a_delay(
    plane: ControlPlane, host: Process, server: PostgresServer
) -> None:
    for number in range(3):
        plane.json("instance", "create", f"i{number}", "--image", "root")
        server.stop()
        server.start()
    for number in range(3):
        eventually(f"i{number} is active", lambda name=f"i{number}": deployed(plane, name))
    assert host.running is not None and host.running.poll() is None


@pytest.mark.parametrize("how", ["gone", "silent"])
def test_a_host_stops_when_its_lease_runs_out_and_goes_on_when_the_database_is_back(
    plane: ControlPlane, host: Process, server: PostgresServer, how: str
) -> None:
    plane.json("instance", "create", "before", "--image", "root")
    accepted = plane.json("instance", "list")
    if how == "gone":
        server.crash()
    else:
        server.freeze()
    eventually("the host lets go", lambda: "host.lease_lost" in host.log())
    told = plane.cli("instance", "list")
    assert told.code != 0 and "Traceback" not in told.err
    eventually("it has tried again and again", lambda: host.log().count("host.waits_for_store") >= TRIES)
    assert host.running is not None and host.running.poll() is None, host.log()
    if how == "gone":
        server.start()
    else:
        server.thaw()
    eventually("what was accepted is done", lambda: plane.cli("instance", "list").code == 0)
    assert {one["name"] for one in plane.json("instance", "list")} == {one["name"] for one in accepted}
    eventually("it is active", lambda: deployed(plane, "before"))
    plane.json("instance", "create", "after", "--image", "root", "--wait")
