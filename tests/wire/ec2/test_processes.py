"""EC2's clients where the API is a process by itself, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fixtures.postgres_server import PostgresServer
from provisioner.store import upgrade_store
from tests.wire.control_plane.conftest import ControlPlane, short_folder
from tests.wire.ec2.conftest import Place, port_of, release
from tests.wire.ec2.test_instances import run, show, wait

pytestmark = pytest.mark.wire


@pytest.fixture
def apart() -> Iterator[Any]:
    """A client; API and compute host are processes of their own."""
    with short_folder() as folder, PostgresServer(folder) as server, short_folder() as home:
        url = server.new_database()
        upgrade_store(url)
        plane = ControlPlane(home, url)
        try:
            plane.start()
            plane.host("h1").start()
            plane.enrol("n1", "n2")
            plane.register_images()
            place = Place(plane, f"http://127.0.0.1:{port_of(plane)}/ec2")
            yield place.client(place.session())
        finally:
            plane.close()


def test_what_is_ordered_at_the_api_is_done_by_the_compute_host(apart: Any) -> None:
    (id,) = ids = run(apart, ClientToken="once")
    wait(apart, "instance_running", ids)
    assert run(apart, ClientToken="once") == ids
    apart.create_tags(Resources=ids, Tags=[{"Key": "Name", "Value": "web"}])
    apart.stop_instances(InstanceIds=ids)
    wait(apart, "instance_stopped", ids)
    apart.start_instances(InstanceIds=ids)
    wait(apart, "instance_running", ids)
    assert show(apart, id)["Tags"] == [{"Key": "Name", "Value": "web"}]
    # Consoles are recorded by compute hosts; those of a rack in memory say nothing.
    assert apart.get_console_output(InstanceId=id)["Output"] == ""
    release(apart)
