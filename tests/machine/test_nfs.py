"""A root by NFS, from the request to a login, and back to nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.machine.lab import Lab
from tests.machine.racks import node, served_by_nfs

pytestmark = pytest.mark.machine


@pytest.mark.parametrize("firmware", ["bios", pytest.param("uefi", marks=pytest.mark.full)])
def test_a_machine_runs_on_a_root_that_is_served_to_it(new_lab: Callable[..., Lab], firmware: str) -> None:
    lab = new_lab(node(firmware=firmware), nfs={"server": "ganesha"}, deploy={"resumed_deadline_s": 60})
    lab.ready("tiny", change=served_by_nfs)
    address = lab.runs("web", "tiny")
    (root,) = lab.roots()

    assert "nfs4" in lab.ssh(address, "grep", "' / '", "/proc/mounts")
    assert lab.ssh(address, "hostname").strip() == "web"
    lab.ssh(address, "echo written by the machine > note")
    assert (root / "home/debian/note").read_text() == "written by the machine\n"

    # The server of its root dies with the provisioner; the machine waits, and goes on with the next one.
    lab.kill()
    lab.start()
    assert lab.ssh(address, "cat note") == "written by the machine\n"

    lab.ends("web")
    assert lab.roots() == []
