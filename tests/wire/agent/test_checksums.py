"""Checksums of disks, and how soon work of long duration ends when it is cancelled, on loop devices."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provisioner.agent import block
from provisioner.core.image_digest import TreeDigest
from tests.agent_peer import CommandFailed
from tests.wire.agent.conftest import MakeDisk, RealAgent

pytestmark = pytest.mark.wire

MIB = 2**20


@pytest.mark.parametrize("size", [64 * MIB, 63 * MIB + 512, 1, 0])
def test_the_checksum_is_that_of_the_image(agent: RealAgent, make_disk: MakeDisk, size: int) -> None:
    disk = make_disk(80, garbage=True)
    digest = TreeDigest(MIB)
    digest.update(disk.content(MIB, size))
    params: dict[str, Any] = {
        "device": disk.device,
        "offset_bytes": MIB,
        "size_bytes": size,
        "chunk_bytes": MIB,
    }
    assert agent.peer.run("checksum_disk", **params) == {"tree_digest": digest.hexdigest()}


def test_the_checksum_is_of_the_medium_not_of_the_cache(agent: RealAgent, make_disk: MakeDisk) -> None:
    disk = make_disk(16, garbage=True)
    params: dict[str, Any] = {"device": disk.device, "offset_bytes": 0, "size_bytes": 16 * MIB}
    Path(disk.device).read_bytes()
    before = agent.peer.run("checksum_disk", **params)
    with disk.file.open("r+b") as file:
        file.seek(5 * MIB)
        file.write(b"rot")
    assert agent.peer.run("checksum_disk", **params) != before


def test_a_checksum_beyond_the_disks_end_is_refused(agent: RealAgent, make_disk: MakeDisk) -> None:
    disk = make_disk(16)
    with pytest.raises(CommandFailed, match=r"disk-too-small: .* has 16777216 bytes, 17825792 were"):
        agent.peer.run("checksum_disk", device=disk.device, offset_bytes=MIB, size_bytes=16 * MIB)


def test_a_long_checksum_ends_soon_when_it_is_cancelled(agent: RealAgent, make_disk: MakeDisk) -> None:
    disk = make_disk(2**20)
    agent.peer.give("checksum_disk", {"device": disk.device, "size_bytes": 2**40}, command_id="long")
    _wait_for_progress(agent)
    _cancel(agent)
    _assert_cancelled_on_the_way(agent)


def test_a_wipe_ends_soon_when_it_is_cancelled(
    agent: RealAgent, make_disk: MakeDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = make_disk(32)
    first_step_done, cancelled = threading.Event(), threading.Event()

    def ioctl_that_waits(fd: int, request: int, argument: Any = 0) -> Any:
        result = fcntl.ioctl(fd, request, argument)
        if request == block.BLKZEROOUT:
            first_step_done.set()
            assert cancelled.wait(20)
        return result

    # Zeroed steps take up real space: a disk large enough to be caught at work would fill the machine's own.
    monkeypatch.setattr(block, "ZERO_STEP_BYTES", 4 * MIB)
    monkeypatch.setattr(block, "fcntl", SimpleNamespace(ioctl=ioctl_that_waits))
    agent.peer.give("wipe", {"devices": [disk.device], "mode": "full"}, command_id="long")
    assert first_step_done.wait(20)
    _cancel(agent)
    cancelled.set()
    _assert_cancelled_on_the_way(agent)


def _wait_for_progress(agent: RealAgent) -> None:
    command: Any = {"progress": None}
    while not (command["progress"] and command["progress"]["done_bytes"]):
        _, command = agent.peer.ask("GET", "/v1/commands/long?wait_s=0.05")
        assert command["state"] == "running", command


def _cancel(agent: RealAgent) -> None:
    agent.peer.ask("DELETE", f"/v1/commands/long?fence={agent.peer.fence}")


def _assert_cancelled_on_the_way(agent: RealAgent) -> None:
    _, command = agent.peer.ask("GET", "/v1/commands/long?wait_s=20")
    assert (command["state"], command["error"]["code"]) == ("failed", "cancelled")
    assert 0 < command["progress"]["done_bytes"] < command["progress"]["total_bytes"]
