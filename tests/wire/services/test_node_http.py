"""What a node gets by HTTP, and what it tells."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from provisioner.core.errors import PermanentError
from provisioner.protocols.netboot import Offer
from provisioner.services.node_http import NodeHttpService
from provisioner.services.system import SystemClock
from tests.wire.services.conftest import KERNEL_BYTES, Heard, play
from tests.wire.services.node_http_server import OTHER_TOKEN, SCRIPT, TOKEN, Server, server
from tests.wire.services.segment import NODE, STRANGER, Segment

pytestmark = pytest.mark.wire


def test_a_node_gets_its_files_and_each_is_reported(network: Segment, heard: Heard, kernel: Path) -> None:
    async def story() -> None:
        async with server(network, heard, kernel) as node:
            assert (await node.ask("GET", f"/boot/{TOKEN}/boot.ipxe"))[:2] == (200, SCRIPT.encode())
            assert (await node.ask("GET", f"/boot/{TOKEN}/kernel"))[:2] == (200, kernel.read_bytes())
            sent = await heard.until("http.sent", 2)
            assert [(event.detail["file"], event.detail["bytes"]) for event in sent] == [
                ("boot.ipxe", len(SCRIPT)),
                ("kernel", KERNEL_BYTES),
            ]
            assert {event.address for event in sent} == {NODE}

    play(story)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        (NODE, f"/boot/{OTHER_TOKEN}/kernel"),  # another node's token
        (STRANGER, f"/boot/{TOKEN}/kernel"),  # another node's address
        (NODE, f"/boot/{TOKEN}/other"),
        (NODE, f"/boot/{TOKEN}/gone"),  # published, but removed from the disk
        (NODE, f"/boot/{TOKEN}/../{TOKEN}/kernel"),
        (NODE, f"/boot/{TOKEN}/..%2f..%2fetc%2fpasswd"),
        (NODE, f"/boot/{TOKEN}//etc/passwd"),
        (NODE, "/boot//kernel"),
        (NODE, "/"),
        (NODE, "/etc/passwd"),
        (NODE, "/agent/v1/hello"),
    ],
)
def test_everything_else_is_not_found(
    network: Segment, heard: Heard, kernel: Path, source: str, path: str
) -> None:
    async def story() -> None:
        async with server(network, heard, kernel) as node:
            assert (await node.ask("GET", path, source=source))[:2] == (404, b"")
            assert not heard.named("http.sent")

    play(story)


def test_a_token_ends_with_the_next_offer_and_the_node_with_its_withdrawal(
    network: Segment, heard: Heard, kernel: Path
) -> None:
    async def story() -> None:
        async with server(network, heard, kernel) as node:
            new = Offer(
                node_id="n1",
                node_name="n1",
                macs=("m",),
                addresses=(NODE,),
                token="c3",
                files={"kernel": "new"},
            )
            await node.service.offer(new)
            assert (await node.ask("GET", f"/boot/{TOKEN}/kernel"))[0] == 404
            assert (await node.ask("GET", "/boot/c3/kernel"))[1] == b"new"
            await node.service.withdraw("n1")
            await node.service.withdraw("n1")
            assert (await node.ask("GET", "/boot/c3/kernel"))[0] == 404
            refused = await heard.until("http.refused")
            assert refused[0].detail["file"] == "kernel"

    play(story)


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        ("bytes=0-0", 206, 0, 0),
        ("bytes=100-", 206, 100, KERNEL_BYTES - 1),
        ("bytes=-100", 206, KERNEL_BYTES - 100, KERNEL_BYTES - 1),
        ("bytes=5-99999999999", 206, 5, KERNEL_BYTES - 1),
        ("bytes=9-5", 200, 0, KERNEL_BYTES - 1),
        ("lines=1-2", 200, 0, KERNEL_BYTES - 1),
        (f"bytes={KERNEL_BYTES}-", 416, 0, -1),
    ],
)
def test_a_part_of_a_file_may_be_asked_for(
    network: Segment, heard: Heard, kernel: Path, asked: str, status: int, first: int, last: int
) -> None:
    async def story() -> None:
        async with server(network, heard, kernel) as node:
            answer = await node.ask("GET", f"/boot/{TOKEN}/kernel", headers={"Range": asked})
            assert (answer[0], answer[1]) == (status, kernel.read_bytes()[first : last + 1])
            if status == 206:
                assert answer[2]["Content-Range"] == f"bytes {first}-{last}/{KERNEL_BYTES}"

    play(story)


def test_a_head_tells_the_size_and_counts_as_nothing_sent(
    network: Segment, heard: Heard, kernel: Path
) -> None:
    async def story() -> None:
        async with server(network, heard, kernel) as node:
            for name, size in (("kernel", KERNEL_BYTES), ("boot.ipxe", len(SCRIPT))):
                status, body, headers = await node.ask("HEAD", f"/boot/{TOKEN}/{name}")
                assert (status, body, headers["Content-Length"]) == (200, b"", str(size))
            assert not heard.events

    play(story)


def test_a_transfer_that_the_node_breaks_off_is_not_one_that_was_sent(
    network: Segment, heard: Heard, kernel: Path
) -> None:
    async def story() -> None:
        with kernel.open("r+b") as file:
            file.truncate(256 * 2**20)  # more than sockets hold
        async with server(network, heard, kernel) as node:
            with node.connect() as connection:
                connection.sendall(f"GET /boot/{TOKEN}/kernel HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                await asyncio.to_thread(connection.recv, 65536)
            (cut,) = await heard.until("http.cut")
            assert 0 < cut.detail["bytes"] < cut.detail["size"]
            assert not heard.named("http.sent")

    play(story)


def test_what_is_on_its_way_to_a_node_ends_when_it_is_withdrawn(
    network: Segment, heard: Heard, kernel: Path
) -> None:
    size = 256 * 2**20  # more than sockets hold

    def taken_by(connection: socket.socket) -> int:
        taken = 0
        with suppress(ConnectionResetError):
            while came := len(connection.recv(2**20)):
                taken += came
        return taken

    async def story() -> None:
        with kernel.open("r+b") as file:
            file.truncate(size)
        async with server(network, heard, kernel) as node:
            with node.connect() as withdrawn, node.connect(STRANGER) as other:
                for connection, token in ((withdrawn, TOKEN), (other, OTHER_TOKEN)):
                    ask = f"GET /boot/{token}/kernel HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                    connection.sendall(ask.encode())
                    assert await asyncio.to_thread(connection.recv, 100)
                await node.service.withdraw("n1")
                assert await asyncio.to_thread(taken_by, withdrawn) < size // 2
                assert await asyncio.to_thread(taken_by, other) >= size
            (sent,) = await heard.until("http.sent")
            assert sent.address == STRANGER

    play(story)


def test_several_requests_go_over_one_connection(network: Segment, heard: Heard, kernel: Path) -> None:
    async def story() -> None:
        async with server(network, heard, kernel) as node:
            with node.connect() as connection:
                request = f"GET /boot/{TOKEN}/boot.ipxe HTTP/1.1\r\nHost: x\r\n\r\n".encode()
                for _ in range(3):
                    connection.sendall(request)
                    answer = await asyncio.to_thread(connection.recv, 65536)
                    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(SCRIPT.encode())
                connection.sendall(request * 2)  # pipelined
                await heard.until("http.sent", 5)

    play(story)


def test_an_agent_reports_once_for_each_boot(network: Segment, heard: Heard, kernel: Path) -> None:
    async def hello(node: Server, boot: str, token: str = TOKEN, source: str = NODE) -> int:
        body = json.dumps({"node": "n1", "boot_id": boot, "port": 9999, "mac": "m", "x": "y" * 500}).encode()
        headers = {"Authorization": f"Bearer {token}"}
        return (await node.ask("POST", "/agent/v1/hello", body=body, headers=headers, source=source))[0]

    async def story() -> None:
        async with server(network, heard, kernel) as node:
            assert [await hello(node, boot) for boot in ("b1", "b1", "b2")] == [200, 200, 200]
            said = [(event.node_id, event.detail) for event in heard.named("agent.hello")]
            assert said == [("n1", {"boot_id": boot, "port": 9999, "mac": "m"}) for boot in ("b1", "b2")]
            assert await hello(node, "b3", OTHER_TOKEN) == 401
            assert await hello(node, "b3", source=STRANGER) == 401
            assert await hello(node, "b3", OTHER_TOKEN, STRANGER) == 401  # it booted no agent
            assert await hello(node, "b3", "") == 401
            assert len(heard.named("agent.hello")) == 2

    play(story)


def test_an_instance_phones_home_and_its_token_is_known_by_its_digest_alone(
    network: Segment, heard: Heard, kernel: Path
) -> None:
    async def story() -> None:
        async with server(network, heard, kernel) as node:
            assert (await node.ask("POST", "/phone-home/c0ffee", body=b"instance_id=i1"))[0] == 200
            assert (await node.ask("POST", "/phone-home/c0ffee", body=b"instance_id=i1"))[0] == 429
            (call,) = heard.named("instance.phone_home")
            assert call.node_id == "n1"
            assert call.detail == {"token_sha256": hashlib.sha256(b"c0ffee").hexdigest()}
            assert "c0ffee" not in repr(heard.events)
            await node.service.withdraw("n1")
            assert (await node.ask("POST", "/phone-home/c0ffee"))[0] == 404

    play(story)


def test_stopping_ends_what_is_under_way(network: Segment, heard: Heard, kernel: Path) -> None:
    async def story() -> None:
        with kernel.open("r+b") as file:
            file.truncate(256 * 2**20)
        async with server(network, heard, kernel) as node:
            busy = node.connect()
            busy.sendall(f"GET /boot/{TOKEN}/kernel HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await asyncio.to_thread(busy.recv, 100)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        busy.close()

    play(story)


def test_an_address_that_is_not_ours_is_told_of(network: Segment, heard: Heard) -> None:
    async def story() -> None:
        async with NodeHttpService("10.99.0.1", 8080, heard, SystemClock()):
            pass

    with pytest.raises(PermanentError, match=r"listen for nodes at 10\.99\.0\.1:8080"):
        play(story)
