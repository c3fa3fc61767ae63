"""Compute hosts that are ended, drained and started again, as when they are upgraded one by one."""

from __future__ import annotations

import signal

import pytest

from tests.wire.cli.conftest import eventually
from tests.wire.control_plane.conftest import ControlPlane, Process

pytestmark = pytest.mark.wire

NODES = 6


def even(plane: ControlPlane) -> bool:
    return all(host["nodes"] == NODES // 2 for host in plane.hosts().values())


def two_hosts(plane: ControlPlane) -> tuple[Process, Process]:
    """With as many nodes each, and the image `root`."""
    plane.start()
    a, b = plane.host("a"), plane.host("b")
    a.start()
    b.start()
    eventually("both have a lease", lambda: {"a", "b"} <= set(plane.hosts()))
    plane.enrol(*(f"n{number}" for number in range(NODES)))
    eventually("both own three nodes", lambda: even(plane))
    plane.register_images()
    return a, b


def test_a_host_that_is_told_to_end_in_the_middle_of_deploys_hands_over(plane: ControlPlane) -> None:
    a, b = two_hosts(plane)
    for number in range(NODES):
        plane.json("instance", "create", f"i{number}", "--image", "root", "--node", f"n{number}")
    a.signal(signal.SIGTERM)
    assert a.wait() == 0, a.log()
    assert "Traceback" not in a.log()
    assert "host.handed_over" in a.log()
    assert plane.hosts()["a"]["nodes"] == 0, "nobody had to wait for the end of its lease"
    for number in range(NODES):
        name = f"i{number}"
        eventually(
            f"{name} is active",
            lambda name=name: plane.json("instance", "show", name)["state"] == "active",  # type: ignore[misc]
        )
    assert plane.hosts()["b"]["nodes"] == NODES, b.log()


def test_a_drained_host_is_ended_and_has_its_share_again_when_it_is_back(plane: ControlPlane) -> None:
    a, _ = two_hosts(plane)
    plane.json("host", "drain", "a")
    eventually("a owns no node", lambda: plane.hosts()["a"]["nodes"] == 0)
    assert plane.hosts()["b"]["nodes"] == NODES
    a.signal(signal.SIGTERM)
    assert a.wait() == 0, a.log()
    a.start()
    eventually("a serves", lambda: plane.hosts()["a"]["state"] == "draining")
    assert plane.hosts()["a"]["nodes"] == 0
    plane.json("host", "undrain", "a")
    eventually("shares are even", lambda: even(plane))
