"""A host without room for its services' files: nothing new is served, and nothing that was withdrawn."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.core.errors import StorageFull
from provisioner.services.daemon import replace_file
from tests.wire.services.conftest import Heard, play
from tests.wire.services.dhcp_client import DhcpClient
from tests.wire.services.segment import NODE, NODE_MAC, STRANGER_MAC, Segment
from tests.wire.services.test_dnsmasq import SILENCE_S, ask, dnsmasq, offer

pytestmark = pytest.mark.wire

SIZE_BYTES = 64 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small one of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


def test_a_shorter_text_has_room_on_a_full_disk_and_a_longer_one_is_refused(disk: Path) -> None:
    file = disk / "offers"
    replace_file(file, "one\ntwo\n")
    ballast = fill(disk)
    replace_file(file, "one\n")
    assert file.read_text() == "one\n"
    with pytest.raises(StorageFull, match=r"write offers.*folder .*disk.*0 bytes are free.*Make room"):
        replace_file(file, "one\n" * 2048)
    assert file.read_text() == "one\n"
    ballast.unlink()
    replace_file(file, "one\n" * 2048)
    assert sorted(path.name for path in disk.iterdir()) == ["offers"]


def test_what_is_withdrawn_isnt_served_and_what_found_no_room_is_once_there_is(
    network: Segment, disk: Path, heard: Heard
) -> None:
    first, second = offer(), replace(offer("node-2", STRANGER_MAC), addresses=("10.77.0.20",))

    async def story() -> None:
        async with dnsmasq(disk, heard, first) as service:
            assert await ask(client, "ipxe-bios-discover") is not None
            ballast = fill(disk)
            with pytest.raises(StorageFull):
                await service.offer(second)
            await service.withdraw(second.node_id)
            await service.withdraw(first.node_id)
            assert await ask(client, "ipxe-bios-discover", deadline_s=SILENCE_S) is None
            with pytest.raises(StorageFull):
                await service.offer(first)
            ballast.unlink()
            await service.offer(first)
            answer = await ask(client, "ipxe-bios-discover")
            assert answer is not None and answer.address == NODE

    assert first.macs == (NODE_MAC,)
    with DhcpClient(network) as client:
        play(story)
