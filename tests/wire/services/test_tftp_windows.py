"""Blocks that are sent before the last one was acknowledged."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from provisioner.services import tftp
from provisioner.services.tftp_ahead import BLOCKS
from tests.wire.services.conftest import LOADER_BYTES, Heard, play
from tests.wire.services.segment import Segment
from tests.wire.services.tftp_clients import READ_REQUEST, request, server

pytestmark = pytest.mark.wire


class Windowed:
    """A client that takes windows of blocks (RFC 7440): firmware that has few packets and long waits."""

    def __init__(self, connection: socket.socket, block_bytes: int) -> None:
        self._connection, self._block_bytes = connection, block_bytes
        self.acknowledgements = 0

    def fetch(self, window: int, loses: set[int]) -> bytes:
        """loses: blocks that don't come, the first time."""
        offered, peer = self._connection.recvfrom(65536)
        assert offered.startswith(b"\0\6") and f"windowsize\0{window}\0".encode() in offered
        self._acknowledge(0, peer)
        got, within = b"", 0
        while True:
            packet = self._connection.recv(65536)
            wanted, number = len(got) // self._block_bytes + 1, int.from_bytes(packet[2:4])
            assert packet[:2] == b"\0\3"
            if wanted in loses and number == wanted % 65536:
                loses.remove(wanted)
                continue
            if (ahead := (number - wanted) % 65536) != 0:
                if ahead < 32768:  # else it came before
                    self._acknowledge(wanted - 1, peer)  # what was lost, and what follows
                    within = 0
                continue
            got, within = got + packet[4:], within + 1
            last = len(packet) - 4 < self._block_bytes
            if last or within == window:
                self._acknowledge(wanted, peer)
                within = 0
            if last:
                return got

    def _acknowledge(self, block: int, peer: tuple[str, int]) -> None:
        self.acknowledgements += 1
        self._connection.sendto(b"\0\4" + (block % 65536).to_bytes(2), peer)


@pytest.mark.parametrize(
    ("block_bytes", "window", "loses"), [(1024, 8, set()), (512, 4, {3, 10, 100}), (8, 32, {65_538})]
)
def test_blocks_come_in_windows_to_who_asks_for_them_and_what_is_lost_comes_again(
    network: Segment, heard: Heard, loader: Path, block_bytes: int, window: int, loses: set[int]
) -> None:
    content = os.urandom(65_600 * 8 + 3) if block_bytes == 8 else loader.read_bytes()
    loader.write_bytes(content)
    asked = READ_REQUEST + f"blksize\0{block_bytes}\0windowsize\0{window}\0".encode()

    async def story() -> None:
        async with server(heard, loader):
            with request(network, asked) as connection:
                client = Windowed(connection, block_bytes)
                assert await asyncio.to_thread(client.fetch, window, set(loses)) == content
            (sent,) = await heard.until("tftp.sent")
            assert sent.detail["bytes"] == len(content)
            blocks = len(content) // block_bytes + 1
            assert client.acknowledgements < blocks / window + 5 + 2 * window * len(loses)

    play(story)


class OneByOne:
    """A client like GRUB: it acknowledges each block, takes the next whenever it comes, and no other."""

    def __init__(self, connection: socket.socket, block_bytes: int) -> None:
        self._connection, self._block_bytes = connection, block_bytes
        self.most_ahead = 0
        """So many blocks were here before the first of them was acknowledged."""

    def fetch(self, loses: set[int]) -> bytes:
        offered, peer = self._connection.recvfrom(65536)
        assert offered.startswith(b"\0\6") and b"windowsize" not in offered
        self._acknowledge(0, peer)
        got = b""
        while True:
            # All that comes before anything is acknowledged.
            came = [self._connection.recv(65536)]
            self._connection.settimeout(0.05)
            with suppress(TimeoutError):
                while len(came) < BLOCKS:
                    came.append(self._connection.recv(65536))
            self._connection.settimeout(10)
            self.most_ahead = max(self.most_ahead, len(came))
            for packet in came:
                wanted, number = len(got) // self._block_bytes + 1, int.from_bytes(packet[2:4])
                if number != wanted % 65536:
                    if number < wanted % 65536:  # as GRUB does, whose numbers tell no more
                        self._acknowledge(number, peer)
                    continue
                if wanted in loses:
                    loses.remove(wanted)
                    continue
                got += packet[4:]
                self._acknowledge(wanted, peer)
                if len(packet) - 4 < self._block_bytes:
                    return got

    def _acknowledge(self, block: int, peer: tuple[str, int]) -> None:
        self._connection.sendto(b"\0\4" + (block % 65536).to_bytes(2), peer)


@pytest.mark.parametrize("loses", [set(), {3, 10, 100}])
def test_blocks_are_sent_ahead_to_who_bears_it_and_what_is_lost_comes_again(
    network: Segment, heard: Heard, loader: Path, loses: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tftp, "RESEND_S", 0.3)

    async def story() -> None:
        async with server(heard, loader, frozenset({"loader.efi"})):
            with request(network, READ_REQUEST + b"blksize\x001024\0tsize\x000\0") as connection:
                client = OneByOne(connection, 1024)
                assert await asyncio.to_thread(client.fetch, set(loses)) == loader.read_bytes()
            (sent,) = await heard.until("tftp.sent")
            assert sent.detail["bytes"] == LOADER_BYTES
            assert client.most_ahead == BLOCKS

    play(story)
