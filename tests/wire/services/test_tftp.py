from __future__ import annotations

import asyncio
import io
import os
import random
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from tftpy import TftpClient
from tftpy.TftpShared import TftpException

from provisioner.core.errors import PermanentError
from provisioner.protocols.netboot import Offer
from provisioner.services import tftp
from provisioner.services.system import SystemClock
from provisioner.services.tftp import TftpService
from provisioner.services.tftp_ahead import BLOCKS
from tests.wire.services.conftest import Heard, play
from tests.wire.services.descriptors import descriptors_left
from tests.wire.services.segment import HOST, NODE, STRANGER, Segment

pytestmark = pytest.mark.wire

LOADER_BYTES = 173_792
ERROR = b"\0\5"
READ_REQUEST = b"\0\1loader.efi\0octet\0"
WRITE_REQUEST = b"\0\2loader.efi\0octet\0"


@pytest.fixture
def loader(tmp_path: Path) -> Path:
    path = tmp_path / "loader.efi"
    path.write_bytes(os.urandom(LOADER_BYTES))
    return path


@asynccontextmanager
async def server(
    heard: Heard, loader: Path, ahead: frozenset[str] = frozenset()
) -> AsyncIterator[TftpService]:
    async with TftpService(HOST, heard, SystemClock()) as service:
        await service.offer(
            Offer(
                node_id="n1",
                node_name="n1",
                macs=("m",),
                addresses=(NODE,),
                tftp_files={"loader.efi": loader},
                tftp_ahead=ahead,
            )
        )
        yield service


async def fetch(
    network: Segment, name: str, source: str = NODE, options: Mapping[str, int] | None = None
) -> bytes:
    def call() -> bytes:
        got = io.BytesIO()
        TftpClient(HOST, 69, options=dict(options or {}), localip=source).download(name, got, timeout=5)
        return got.getvalue()

    return await network.run_at_node(call)


@pytest.mark.parametrize("blksize", [None, 512, 1408, 8192])
def test_a_node_fetches_its_loader(network: Segment, heard: Heard, loader: Path, blksize: int | None) -> None:
    async def story() -> None:
        async with server(heard, loader):
            options = {"blksize": blksize, "tsize": 0} if blksize else {}
            assert await fetch(network, "loader.efi", options=options) == loader.read_bytes()
            assert await fetch(network, "/loader.efi", options=options) == loader.read_bytes()
            sent = await heard.until("tftp.sent", 2)
            assert (sent[0].address, sent[0].detail["file"]) == (NODE, "loader.efi")
            assert sent[0].detail["bytes"] == LOADER_BYTES

    play(story)


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


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (STRANGER, "loader.efi"),
        (NODE, "other.efi"),
        (NODE, "../loader.efi"),
        (NODE, "/etc/passwd"),
        (NODE, "../../../../etc/passwd"),
        (NODE, "/nonexistent/../etc/passwd"),
    ],
)
def test_nothing_else_is_served(network: Segment, heard: Heard, loader: Path, source: str, name: str) -> None:
    async def story() -> None:
        async with server(heard, loader):
            with pytest.raises(TftpException):
                await fetch(network, name, source)
            (refused,) = await heard.until("tftp.refused")
            assert refused.address == source
            assert not heard.named("tftp.sent")

    play(story)


@pytest.mark.parametrize("options", [b"", b"blksize\x001408\0tsize\x000\0", b"windowsize\x0016\0"])
def test_a_file_that_has_vanished_is_answered_and_told_of(
    network: Segment, heard: Heard, loader: Path, options: bytes
) -> None:
    """Who hears nothing asks again and again, and never for another file."""

    async def story() -> None:
        async with server(heard, loader) as service:
            loader.unlink()
            with request(network, READ_REQUEST + options) as client:
                answer = await asyncio.to_thread(client.recv, 2048)
                assert answer[:4] == ERROR + b"\0\1"  # RFC 1350: file not found
            (refused,) = await heard.until("tftp.refused")
            assert (
                refused.text
                == "asked by TFTP for 'loader.efi', which can't be read: No such file or directory"
            )
            assert not service._transfers

    play(story)


@asynccontextmanager
async def server_of_two(heard: Heard, loader: Path) -> AsyncIterator[TftpService]:
    """Of one at NODE, and of one at STRANGER."""
    async with server(heard, loader) as service:
        await service.offer(
            Offer(
                node_id="n2",
                node_name="n2",
                macs=("m2",),
                addresses=(STRANGER,),
                tftp_files={"loader.efi": loader},
            )
        )
        yield service


def hears_nothing(client: socket.socket) -> None:
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(2048)


def test_one_that_comes_when_all_places_are_taken_isnt_answered_until_it_asks_again(
    network: Segment, heard: Heard, loader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error would end its boot."""
    monkeypatch.setattr(tftp, "MAX_TRANSFERS", 2)

    async def story() -> None:
        async with server_of_two(heard, loader) as service:
            with request(network) as first, request(network) as second:
                for client in (first, second):
                    await asyncio.to_thread(client.recv, 2048)
                with request(network, source=STRANGER) as third:
                    await asyncio.to_thread(hears_nothing, third)
                    third.sendto(READ_REQUEST, (HOST, 69))
                    (full,) = await heard.until("tftp.busy")
                    assert full.address == STRANGER
                    assert full.text.startswith(
                        "asked by TFTP for 'loader.efi', and isn't answered yet: 2 files"
                    )
                    await service.withdraw("n1")
                    third.settimeout(10)
                    third.sendto(READ_REQUEST, (HOST, 69))
                    assert (await asyncio.to_thread(third.recv, 2048))[:4] == b"\0\3\0\1"
            assert not heard.named("tftp.refused")

    play(story)


def test_one_node_takes_a_few_places_alone(network: Segment, heard: Heard, loader: Path) -> None:
    async def story() -> None:
        async with server_of_two(heard, loader), AsyncExitStack() as stack:
            for _ in range(8):
                client = stack.enter_context(request(network))
                await asyncio.to_thread(client.recv, 2048)
            with request(network) as another:
                await asyncio.to_thread(hears_nothing, another)
            with request(network, source=STRANGER) as second:
                await asyncio.to_thread(second.recv, 2048)
            (busy,) = await heard.until("tftp.busy")
            assert busy.address == NODE
            assert busy.text.endswith(", and isn't answered yet: 8 files are being sent to it")

    play(story)


@pytest.mark.parametrize("left", [0, 1])
def test_one_that_comes_when_no_descriptor_is_left_isnt_answered_until_it_asks_again(
    network: Segment, heard: Heard, loader: Path, left: int
) -> None:
    """One is left for the socket, and none for the file."""

    async def story() -> None:
        async with server(heard, loader) as service:
            with client_at(network) as client:
                with descriptors_left(left):
                    client.sendto(READ_REQUEST, (HOST, 69))
                    (busy,) = await heard.until("tftp.busy")
                await asyncio.to_thread(hears_nothing, client)
                assert busy.text.endswith(", and isn't answered yet: Too many open files")
                assert not service._transfers
                client.settimeout(10)
                client.sendto(READ_REQUEST, (HOST, 69))
                assert (await asyncio.to_thread(client.recv, 2048))[:4] == b"\0\3\0\1"
            assert not heard.named("tftp.refused")

    play(story)


def test_nothing_can_be_written(network: Segment, heard: Heard, loader: Path) -> None:
    async def story() -> None:
        before = loader.read_bytes()
        async with server(heard, loader):
            with request(network, WRITE_REQUEST) as writer:
                assert (await asyncio.to_thread(writer.recv, 2048)).startswith(ERROR)
        assert loader.read_bytes() == before

    play(story)


def test_a_withdrawn_node_gets_nothing(network: Segment, heard: Heard, loader: Path) -> None:
    async def story() -> None:
        async with server(heard, loader) as service:
            await service.withdraw("n1")
            with pytest.raises(TftpException):
                await fetch(network, "loader.efi")

    play(story)


def client_at(network: Segment, source: str = NODE) -> socket.socket:
    with network.at_node():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(10)
    made.bind((source, 0))
    return made


def request(network: Segment, packet: bytes = READ_REQUEST, source: str = NODE) -> socket.socket:
    """A socket of the node's that has just asked."""
    made = client_at(network, source)
    made.sendto(packet, (HOST, 69))
    return made


def test_what_is_on_its_way_to_a_node_ends_when_it_is_withdrawn(
    network: Segment, heard: Heard, loader: Path
) -> None:
    async def story() -> None:
        async with server(heard, loader) as service:
            with request(network) as client:
                block, peer = await asyncio.to_thread(client.recvfrom, 2048)
                client.connect(peer)
                await service.withdraw("another")
                client.send(b"\0\4" + block[2:4])
                assert (await asyncio.to_thread(client.recv, 2048))[:4] == b"\0\3\0\2"
                await service.withdraw("n1")
                client.send(b"\0\4\0\2")
                with pytest.raises(ConnectionRefusedError):  # nobody is behind that port any more
                    await asyncio.to_thread(client.recv, 2048)
            assert not heard.named("tftp.sent")

    play(story)


def test_a_lost_block_is_sent_again_and_a_silent_client_given_up(
    network: Segment, heard: Heard, loader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tftp, "RESEND_S", 0.05)
    monkeypatch.setattr(tftp, "MAX_RESENDS", 3)

    async def story() -> None:
        async with server(heard, loader) as service:
            with request(network) as silent:
                blocks = [await asyncio.to_thread(silent.recv, 2048) for _ in range(4)]
                assert len(set(blocks)) == 1 and blocks[0][:4] == b"\0\3\0\1"
                while service._transfers:
                    await asyncio.sleep(0.01)
            assert not heard.named("tftp.sent")

    play(story)


def test_a_probe_for_the_size_that_is_broken_off_is_no_transfer(
    network: Segment, heard: Heard, loader: Path
) -> None:
    """PXE ROMs ask so before they fetch."""

    async def story() -> None:
        async with server(heard, loader) as service:
            with request(network, READ_REQUEST + b"tsize\0" + b"0\0") as probe:
                answer, peer = await asyncio.to_thread(probe.recvfrom, 2048)
                assert answer.startswith(b"\0\6") and str(LOADER_BYTES).encode() in answer
                probe.sendto(ERROR + b"\0\0aborted\0", peer)
                while service._transfers:
                    await asyncio.sleep(0.01)
            assert not heard.events

    play(story)


def test_garbage_ends_no_transfer_but_its_own(network: Segment, heard: Heard, loader: Path) -> None:
    seeded = random.Random(7)
    headers = [
        b"",
        b"\0\1",
        b"\0\1loader.efi\0octet\0",
        b"\0\1loader.efi\0octet\0blksize\0",
        b"\0\4",
        b"\0\5",
    ]

    async def story() -> None:
        async with server(heard, loader):
            with network.at_node():
                client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with client:
                for number in range(200):
                    packet = headers[number % len(headers)] + seeded.randbytes(seeded.randrange(60))
                    client.sendto(packet, (HOST, 69))
            assert await fetch(network, "loader.efi", options={"blksize": 1408}) == loader.read_bytes()

    play(story)


def test_many_nodes_fetch_at_once(network: Segment, heard: Heard, loader: Path) -> None:
    async def story() -> None:
        async with server(heard, loader):
            fetched = await asyncio.gather(
                *(fetch(network, "loader.efi", options={"blksize": 1408}) for _ in range(12))
            )
            assert set(fetched) == {loader.read_bytes()}
            await heard.until("tftp.sent", 12)

    play(story)


def test_stopping_ends_transfers_and_frees_the_port(network: Segment, heard: Heard, loader: Path) -> None:
    async def story() -> None:
        for _ in range(2):
            async with server(heard, loader) as service:
                with request(network) as half_done:
                    await asyncio.to_thread(half_done.recv, 2048)
            assert not service._transfers

    play(story)


def test_a_port_that_is_taken_is_told_of(network: Segment, heard: Heard, loader: Path) -> None:
    async def story() -> None:
        async with server(heard, loader), server(heard, loader):
            pass

    with pytest.raises(PermanentError, match=r"listen for TFTP at 10\.77\.0\.10:69.*another TFTP server"):
        play(story)
