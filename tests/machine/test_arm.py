"""Boards that boot by U-Boot, from the request to a login, and back to a clean disk."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.machine.lab import Lab
from tests.machine.racks import node
from tests.machine.test_nfs import served_by_nfs

pytestmark = pytest.mark.machine


def board(arch: str) -> dict[str, object]:
    return node(arch=arch, firmware="uboot")


@pytest.mark.parametrize("arch", ["arm64", "armhf"])
def test_a_board_is_deployed_by_iscsi_and_clean_after_its_deletion(
    new_lab: Callable[..., Lab], arch: str
) -> None:
    lab = new_lab(board(arch), deploy={"running_deadline_s": 120})
    image = f"tiny-{arch}"
    lab.register(image)
    lab.enrol()
    lab.node_becomes("available")
    lab.deploy("web", image)
    address = lab.instance_becomes("active", "web")["address"]
    assert lab.ssh(address, "uname -m").strip() == {"arm64": "aarch64", "armhf": "armv7l"}[arch]
    assert lab.ssh(address, "hostname").strip() == "web"
    asked = [event for event in lab.events() if event["name"] == "dhcp.discover"]
    boots = [event for event in asked if "U-Boot" in event["text"]]
    assert len(boots) == 2, "each boot asked once for its address"
    lab.cli("instance", "delete", "web")
    lab.node_becomes("available", deadline="deleted")
    assert not any(lab.disk("n1").read_bytes()[: 2**20])


@pytest.mark.parametrize("arch", ["arm64", "armhf"])
def test_a_board_runs_on_a_root_that_is_served_to_it(new_lab: Callable[..., Lab], arch: str) -> None:
    lab = new_lab(board(arch), nfs={"server": "ganesha"}, deploy={"running_deadline_s": 120})
    image = f"tiny-{arch}"
    lab.register(image)
    lab.enrol(served_by_nfs)
    lab.node_becomes("available")
    lab.deploy("web", image)
    address = lab.instance_becomes("active", "web")["address"]
    assert "nfs4" in lab.ssh(address, "grep", "' / '", "/proc/mounts")
