"""What a node gets by TFTP, what it doesn't, and what a transfer bears."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest
from tftpy.TftpShared import TftpException

from provisioner.core.errors import PermanentError
from provisioner.services import tftp
from tests.wire.services.conftest import LOADER_BYTES, Heard, play
from tests.wire.services.segment import HOST, NODE, STRANGER, Segment
from tests.wire.services.tftp_clients import ERROR, READ_REQUEST, fetch, offer, request, server

pytestmark = pytest.mark.wire

WRITE_REQUEST = b"\0\2loader.efi\0octet\0"


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


def test_at_an_address_that_another_node_has_by_now_its_transfers_alone_go_on(
    network: Segment, heard: Heard, loader: Path
) -> None:
    async def story() -> None:
        async with server(heard, loader) as service:
            with request(network) as of_n1:
                of_n1.connect((await asyncio.to_thread(of_n1.recvfrom, 2048))[1])
                await service.offer(offer(loader, "n2"))
                with request(network) as of_n2:
                    of_n2.connect((await asyncio.to_thread(of_n2.recvfrom, 2048))[1])
                    await service.withdraw("n1")
                    of_n1.send(b"\0\4\0\1")
                    with pytest.raises(ConnectionRefusedError):
                        await asyncio.to_thread(of_n1.recv, 2048)
                    of_n2.send(b"\0\4\0\1")
                    assert (await asyncio.to_thread(of_n2.recv, 2048))[:4] == b"\0\3\0\2"

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
