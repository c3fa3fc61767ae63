"""Nodes that send too much, read too little, or hold more connections than there are for them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from provisioner.services import http_connection, http_listener
from tests.wire.services.conftest import Heard, play
from tests.wire.services.descriptors import descriptors_left, descriptors_limited_to
from tests.wire.services.node_http_server import OTHER_TOKEN, TOKEN, server
from tests.wire.services.segment import STRANGER, Segment

pytestmark = pytest.mark.wire


def test_a_body_that_is_too_large_is_refused(network: Segment, heard: Heard, kernel: Path) -> None:
    async def story() -> None:
        async with server(network, heard, kernel) as node:
            announced = await node.ask("POST", "/phone-home/c0ffee", headers={"Content-Length": "99999999"})
            assert announced[0] == 413
            assert not heard.named("instance.phone_home")

    play(story)


@pytest.mark.parametrize(
    "sent", [b"", b"GET /boot/", b"POST /phone-home/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"]
)
def test_a_request_that_never_ends_is_hung_up_on(
    network: Segment, heard: Heard, kernel: Path, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "REQUEST_TIMEOUT_S", 0.3)

    async def story() -> None:
        async with server(network, heard, kernel) as node:
            with node.connect() as connection:
                connection.sendall(sent)
                with suppress(ConnectionResetError):
                    assert await asyncio.to_thread(connection.recv, 100) == b""

    play(story)


def test_a_node_that_stops_reading_is_hung_up_on(
    network: Segment, heard: Heard, kernel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "STALL_TIMEOUT_S", 0.3)

    async def story() -> None:
        with kernel.open("r+b") as file:
            file.truncate(256 * 2**20)
        async with server(network, heard, kernel) as node:
            with node.connect() as connection:
                connection.sendall(f"GET /boot/{TOKEN}/kernel HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                (cut,) = await heard.until("http.cut")
                assert cut.detail["bytes"] < cut.detail["size"]
                assert not heard.named("http.sent")

    play(story)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /phone-home/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"A" * 100_000,
    ],
)
def test_garbage_ends_its_own_connection_alone(
    network: Segment, heard: Heard, kernel: Path, garbage: bytes
) -> None:
    async def story() -> None:
        async with server(network, heard, kernel) as node:
            with node.connect() as connection, suppress(ConnectionError):
                connection.sendall(garbage)
                await asyncio.to_thread(connection.recv, 100)
            assert (await node.ask("GET", f"/boot/{TOKEN}/boot.ipxe"))[0] == 200

    play(story)


def test_one_node_cannot_take_all_connections(
    network: Segment, heard: Heard, kernel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_listener, "MAX_CONNECTIONS_PER_PEER", 3)

    async def story() -> None:
        async with server(network, heard, kernel) as node:
            held = [node.connect() for _ in range(3)]
            with node.connect() as refused:
                assert await asyncio.to_thread(refused.recv, 1) == b""
            assert (await node.ask("GET", f"/boot/{OTHER_TOKEN}/boot.ipxe", source=STRANGER))[0] == 200
            for connection in held:
                connection.close()

    play(story)


def test_there_are_no_more_connections_than_the_process_has_descriptors_for(
    network: Segment, heard: Heard, kernel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_listener, "MAX_CONNECTIONS_PER_PEER", 1000)

    async def story() -> None:
        # A part of what a process has altogether, so that other parts of it go on.
        with descriptors_limited_to(160):
            async with server(network, heard, kernel) as node:
                held = [node.connect() for _ in range(40)]
                status, _, headers = await node.ask("GET", f"/boot/{TOKEN}/kernel")
                assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
                held += [node.connect() for _ in range(10)]
                with node.connect() as refused, suppress(ConnectionError):
                    refused.sendall(f"GET /boot/{TOKEN}/kernel HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                    assert await asyncio.to_thread(refused.recv, 1) == b""
                while len(held) >= 40:
                    held.pop().close()
                while (await node.ask("GET", f"/boot/{TOKEN}/kernel"))[0] != 200:
                    pass
                for connection in held:
                    connection.close()

    play(story)


def test_a_file_that_no_descriptor_is_left_for_is_to_be_asked_for_again(
    network: Segment, heard: Heard, kernel: Path
) -> None:
    async def story() -> None:
        async with server(network, heard, kernel) as node:
            with node.connect() as connection:

                async def ask(name: str) -> bytes:
                    connection.sendall(f"GET /boot/{TOKEN}/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                    return await asyncio.to_thread(connection.recv, 1000)

                assert (await ask("boot.ipxe")).startswith(b"HTTP/1.1 200 ")
                for _ in range(2):
                    with descriptors_left(0):
                        answer = await ask("kernel")
                    assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1\r\n" in answer.lower()
                assert (await ask("kernel")).startswith(b"HTTP/1.1 200 ")
            (busy,) = heard.named("http.busy")
            assert busy.text == "GET of kernel is to be tried again: Too many open files"
            assert not heard.named("http.refused")

    play(story)
