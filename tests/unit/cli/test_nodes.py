"""What the commands for nodes ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Listener

pytestmark = pytest.mark.wire


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (("--keep-disk", "path=/dev/mmcblk1"), {"keep_disks": [{"path": "/dev/mmcblk1"}]}),
        (
            ("--keep-disk", "model=A, B=1,serial=C=", "--keep-disk", "wwn=D"),
            {"keep_disks": [{"model": "A, B=1", "serial": "C="}, {"wwn": "D"}]},
        ),
        (
            ("--no-keep-disks", "--root-device", "serial=A"),
            {"keep_disks": [], "root_device": {"serial": "A"}},
        ),
        (("--no-root-device",), {"root_device": {}}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_disks_are_named_as_in_a_node_file(listener: Listener, words: tuple[str, ...], sent: Any) -> None:
    listener.status, listener.answer = 200, {"name": "n1", "state": "clean_failed", **sent}
    told = listener.run("node", "disks", "n1?", *words)
    assert (listener.asked, listener.sent) == (["PUT /v1/nodes/n1%3F/disks"], [sent])
    assert "clean_failed" in told


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--keep-disk", "A"),
        ("--keep-disk", "serial="),
        ("--root-device", ""),
        ("--root-device", "serial=A,serial=B"),
        ("--keep-disk", "serial=A", "--no-keep-disks"),
        ("--root-device", "serial=A", "--no-root-device"),
    ],
    ids=" ".join,
)
def test_disks_that_are_not_named_so_are_not_asked_for(listener: Listener, words: tuple[str, ...]) -> None:
    listener.run("node", "disks", "n1", *words, exit_code=1)
    assert listener.asked == []


NODE_FILE = """\
nodes:
  - name: n1
    arch: x86_64
    vcpus: 2
    memory_mib: 1024
    disk_mib: 4096
    ports: [{mac: "52:54:00:77:00:01"}]
    power: {driver: ipmi, address: 10.78.0.99, user: root, password: new-sesame}
"""
POWER = {"driver": "ipmi", "address": "10.78.0.99", "port": 623, "user": "root", "password": "new-sesame"}


@pytest.mark.parametrize("named", ["n1", "some-id"])
def test_a_power_device_is_corrected_by_its_entry_in_the_node_file(
    listener: Listener, tmp_path: Path, named: str
) -> None:
    file = tmp_path / "nodes.yaml"
    file.write_text(NODE_FILE)
    listener.status, listener.answer = 200, {"name": "n1", "state": "clean_failed"}
    told = listener.run("node", "power-device", named, "-f", str(file))
    asked = [] if named == "n1" else ["GET /v1/nodes/some-id"]
    assert listener.asked == [*asked, f"PUT /v1/nodes/{named}/power-device"]
    assert listener.sent[-1] == POWER
    assert f"{named}: clean_failed; `provisioner node power n1 status` asks the device" in told
    assert "sesame" not in told


def test_a_file_without_the_node_corrects_nothing(listener: Listener, tmp_path: Path) -> None:
    file = tmp_path / "nodes.yaml"
    file.write_text(NODE_FILE)
    listener.status, listener.answer = 200, {"name": "n2", "state": "active"}
    told = listener.run("node", "power-device", "n2", "-f", str(file), exit_code=1)
    assert listener.asked == ["GET /v1/nodes/n2"]
    assert told == ""


@pytest.mark.parametrize(("state", "code"), [("available", 0), ("enrol_failed", 1)])
def test_the_check_of_another_power_device_is_waited_for(
    listener: Listener, tmp_path: Path, state: str, code: int
) -> None:
    file = tmp_path / "nodes.yaml"
    file.write_text(NODE_FILE)
    listener.status, listener.answer = 200, {"name": "n1", "state": "enrolling"}
    listener.later = {"name": "n1", "state": state, "failure": {"message": "it said no"}}
    told = listener.run("node", "power-device", "n1", "-f", str(file), exit_code=code)
    assert listener.asked == ["PUT /v1/nodes/n1/power-device", "GET /v1/nodes/n1"]
    assert told == ("n1: available\n" if not code else "")
