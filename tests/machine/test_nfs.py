"""A root by NFS, from the request to a login, and back to nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.machine.lab import Lab
from tests.machine.racks import node

pytestmark = pytest.mark.machine


def served_by_nfs(inventory: dict[str, Any]) -> None:
    for entry in inventory["nodes"]:
        entry["deploy"] = "nfs"
        entry["disk_mib"] = 0


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_a_machine_runs_on_a_root_that_is_served_to_it(new_lab: Callable[..., Lab], firmware: str) -> None:
    lab = new_lab(node(firmware=firmware), nfs={"server": "ganesha"}, deploy={"resumed_deadline_s": 60})
    lab.register("tiny")
    lab.enrol(served_by_nfs)
    lab.node_becomes("available")
    lab.deploy("web", "tiny")
    address = lab.instance_becomes("active", "web")["address"]
    roots = Path(lab.settings["state_dir"]) / "roots/nodes"
    (root,) = roots.iterdir()

    assert "nfs4" in lab.ssh(address, "grep", "' / '", "/proc/mounts")
    assert lab.ssh(address, "hostname").strip() == "web"
    lab.ssh(address, "echo written by the machine > note")
    assert (root / "home/debian/note").read_text() == "written by the machine\n"

    # The server of its root dies with the provisioner; the machine waits, and goes on with the next one.
    lab.kill()
    lab.start()
    assert lab.ssh(address, "cat note") == "written by the machine\n"

    lab.cli("instance", "delete", "web")
    lab.node_becomes("available", deadline="deleted")
    assert list(roots.iterdir()) == []
