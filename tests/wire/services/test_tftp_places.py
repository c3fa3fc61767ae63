"""More that fetch by TFTP than there are places for, or descriptors."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from provisioner.services import tftp
from provisioner.services.tftp import TftpService
from tests.wire.services.conftest import Heard, play
from tests.wire.services.descriptors import descriptors_left
from tests.wire.services.segment import HOST, NODE, STRANGER, Segment
from tests.wire.services.tftp_clients import READ_REQUEST, client_at, offer, request, server

pytestmark = pytest.mark.wire


@asynccontextmanager
async def server_of_two(heard: Heard, loader: Path) -> AsyncIterator[TftpService]:
    """Of one at NODE, and of one at STRANGER."""
    async with server(heard, loader) as service:
        await service.offer(offer(loader, "n2", STRANGER))
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
