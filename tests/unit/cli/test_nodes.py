"""What the commands for nodes ask for."""

from __future__ import annotations

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
