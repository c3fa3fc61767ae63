"""Instance metadata as nodes see it: at 169.254.169.254, over the route that DHCP tells them."""

from __future__ import annotations

import asyncio
import http.client
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet

from provisioner.core.errors import PermanentError, TransientError
from provisioner.core.metadata import Folder
from provisioner.protocols.metadata import Told
from provisioner.services import metadata
from provisioner.services.metadata import ADDRESS, MetadataService
from provisioner.services.secret_box import SecretBox
from provisioner.services.system import SystemClock
from tests.wire.services.conftest import Heard, play
from tests.wire.services.segment import HOST, HOST_IF, NODE, NODE_IF, STRANGER, Segment

pytestmark = pytest.mark.wire

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
FORWARDED = {"X-Forwarded-For": "10.9.9.9"}
IP_RECVTTL = 12  # <linux/in.h>; Python 3.11 doesn't name it


class Instances:
    """`protocols.metadata.MetadataSource`: who has an address says the test."""

    def __init__(self) -> None:
        self.by_address = {NODE: "i-1", STRANGER: "i-2"}
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.away = False
        self.asked = 0
        self.awaited = True

    async def of(self, address: str) -> Told | None:
        self.asked += 1
        if self.away:
            raise TransientError("use the database", answer="it is away")
        id = self.by_address.get(address)
        if id is None:
            return None
        key = Folder({"openssh-key": f"ssh-ed25519 AAAA {id}"}, title="me")
        entries = {"instance-id": id, "public-keys": Folder({"0": key})}
        tree = Folder({"meta-data": Folder(entries), "user-data": f"secret of {id}"})
        return Told(instance_id=id, tree=tree, at=self.now, awaited=self.awaited)


class Asker:
    def __init__(self, service: MetadataService, network: Segment) -> None:
        self.service = service
        self._network = network

    async def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        headers: Mapping[str, str] | None = None,
        source: str = NODE,
    ) -> tuple[int, str]:
        def call() -> tuple[int, str]:
            connection = http.client.HTTPConnection(ADDRESS, timeout=20, source_address=(source, 0))
            try:
                connection.request(method, path, headers=dict(headers or {}))
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            finally:
                connection.close()

        return await self._network.run_at_node(call)

    async def token(self, ttl_s: int = 60, source: str = NODE) -> str:
        status, token = await self.ask("/latest/api/token", "PUT", headers={TTL: str(ttl_s)}, source=source)
        assert status == 200
        return token


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def routed(network: Segment) -> Segment:
    """The host has the address, and the node the route that it is told."""
    ip("addr", "add", f"{ADDRESS}/32", "dev", "lo")
    with network.at_node():
        ip("route", "add", f"{ADDRESS}/32", "via", HOST)
    return network


@pytest.fixture
def instances(monkeypatch: pytest.MonkeyPatch) -> Instances:
    monkeypatch.setattr(metadata, "FRESH_S", 0.0)
    return Instances()


BOX = SecretBox(Fernet.generate_key().decode())


@asynccontextmanager
async def serving(
    network: Segment,
    instances: Instances,
    *,
    only_v2: bool = False,
    box: SecretBox = BOX,
    heard: Heard | None = None,
) -> AsyncIterator[Asker]:
    async with MetadataService(
        instances, box, heard or Heard(), SystemClock(), device=HOST_IF, only_v2=only_v2
    ) as service:
        yield Asker(service, network)


def test_an_instance_reads_its_own(routed: Segment, instances: Instances) -> None:
    async def story() -> None:
        async with serving(routed, instances) as node:
            assert "latest" in (await node.ask("/"))[1].split("\n")
            assert await node.ask("/latest") == (200, "meta-data/\nuser-data")
            for path in ("/2009-04-04/meta-data/", "//latest//meta-data"):
                assert await node.ask(path) == (200, "instance-id\npublic-keys/")
            assert await node.ask("/latest/meta-data/instance-id") == (200, "i-1")
            assert await node.ask("/latest/meta-data/public-keys/") == (200, "0=me")
            key = "/latest/meta-data/public-keys/0/openssh-key"
            assert await node.ask(key) == (200, "ssh-ed25519 AAAA i-1")
            assert await node.ask("/latest/user-data") == (200, "secret of i-1")
            assert await node.ask("/latest/user-data", "HEAD") == (200, "")

    play(story)


def test_no_node_reads_anothers(routed: Segment, instances: Instances) -> None:
    async def story() -> None:
        async with serving(routed, instances) as node:
            assert await node.ask("/latest/user-data", source=STRANGER) == (200, "secret of i-2")
            token = await node.token()
            stolen = {TOKEN: token}
            assert await node.ask("/latest/user-data", headers=stolen, source=STRANGER) == (401, "")
            instances.by_address[STRANGER] = "i-3"  # the next one on that node
            assert await node.ask("/latest/user-data", source=STRANGER) == (200, "secret of i-3")

    play(story)


def test_a_node_without_an_instance_reads_nothing(routed: Segment, instances: Instances) -> None:
    async def story() -> None:
        async with serving(routed, instances) as node:
            token = await node.token()
            del instances.by_address[NODE]
            for path in ("/", "/latest/meta-data/", "/latest/user-data", "/nothing"):
                assert await node.ask(path) == (404, "")
                assert await node.ask(path, headers={TOKEN: token}) == (404, "")
            assert await node.ask("/latest/api/token", "PUT", headers={TTL: "60"}) == (404, "")

    play(story)


@pytest.mark.parametrize(
    "path",
    [
        "/latest/meta-data/instance-id/x",
        "/latest/meta-data/nothing",
        "/latest/meta-data/../user-data",
        "/latest/%6deta-data/instance-id",
        "/2042-01-01/meta-data/",
        "/etc/passwd",
        "/meta-data/instance-id",
    ],
)
def test_what_is_not_there_is_not_found(routed: Segment, instances: Instances, path: str) -> None:
    async def story() -> None:
        async with serving(routed, instances) as node:
            assert await node.ask(path) == (404, "")

    play(story)


def test_a_token_is_asked_for_by_put_alone_and_for_a_time(routed: Segment, instances: Instances) -> None:
    async def story() -> None:
        async with serving(routed, instances, only_v2=True) as node:
            path = "/latest/api/token"
            for method in ("GET", "POST"):
                assert (await node.ask(path, method, headers={TTL: "60"}))[0] == 405
            for ttl in ("", "0", "21601", "-1", "1.5", "x", "9" * 30):
                assert (await node.ask(path, "PUT", headers={TTL: ttl}))[0] == 400
            assert (await node.ask(path, "PUT"))[0] == 400
            assert (await node.ask(path, "PUT", headers={TTL: "60", **FORWARDED})) == (403, "")

            good = {TOKEN: await node.token(60)}
            assert await node.ask("/latest/meta-data/instance-id") == (401, "")
            assert await node.ask("/latest/meta-data/instance-id", headers=good) == (200, "i-1")
            forwarded = {**good, **FORWARDED}
            assert await node.ask("/latest/meta-data/instance-id", headers=forwarded) == (403, "")
            instances.now += timedelta(seconds=61)
            assert await node.ask("/latest/meta-data/instance-id", headers=good) == (401, "")

    play(story)


def test_what_is_not_a_token_is_refused_where_none_is_needed_too(
    routed: Segment, instances: Instances
) -> None:
    async def story() -> None:
        async with serving(routed, instances) as node:
            other_kind = BOX.seal("something else that is sealed")
            for token in ("", "x", "x" * 5000, "\xff", other_kind, BOX.seal("instance-metadata i-1 x")):
                assert (await node.ask("/latest/user-data", headers={TOKEN: token}))[0] == 401

    play(story)


def test_a_token_holds_on_every_host_of_the_place(routed: Segment, instances: Instances) -> None:
    async def story() -> None:
        async with serving(routed, instances) as node:
            token = {TOKEN: await node.token()}
        async with serving(routed, instances) as survivor:
            assert await survivor.ask("/latest/user-data", headers=token) == (200, "secret of i-1")
        stranger = SecretBox(Fernet.generate_key().decode())
        async with serving(routed, instances, box=stranger) as other:
            assert await other.ask("/latest/user-data", headers=token) == (401, "")

    play(story)


def test_a_token_goes_over_one_hop(routed: Segment, instances: Instances) -> None:
    """As its packets say when they come in; what is no token goes as far as it must."""

    def hops_of(method: str, path: str) -> int:
        with (
            socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as wire,
            socket.create_connection((ADDRESS, 80), 20) as connection,
        ):
            wire.bind((NODE_IF, 0x0800))
            connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{TTL}: 60\r\n\r\n".encode())
            wire.settimeout(20)
            while True:
                packet = wire.recv(4096)
                if b"HTTP/1.1 200" in packet:
                    return packet[8]  # RFC 791 §3.1

    async def story() -> None:
        async with serving(routed, instances):
            assert await routed.run_at_node(lambda: hops_of("PUT", "/latest/api/token")) == 1
            assert await routed.run_at_node(lambda: hops_of("GET", "/latest/user-data")) > 1

    play(story)


def test_other_methods_change_nothing(routed: Segment, instances: Instances) -> None:
    async def story() -> None:
        async with serving(routed, instances) as node:
            for method in ("POST", "PUT", "DELETE", "OPTIONS"):
                assert (await node.ask("/latest/user-data", method))[0] == 405

    play(story)


def test_while_the_store_is_away_a_node_is_asked_to_come_again(routed: Segment, instances: Instances) -> None:
    async def story() -> None:
        async with serving(routed, instances) as node:
            instances.away = True
            assert await node.ask("/latest/user-data") == (503, "")
            instances.away = False
            assert (await node.ask("/latest/user-data"))[0] == 200

    play(story)


def test_a_crowd_of_questions_of_one_node_is_one_for_the_store(
    routed: Segment, instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "FRESH_S", 3600.0)

    async def story() -> None:
        async with serving(routed, instances) as node:
            for _ in range(10):
                await node.ask("/latest/meta-data/instance-id")
            assert instances.asked == 1

    play(story)


def test_that_an_instance_asks_is_told_of_while_somebody_waits_for_a_sign_of_it(
    routed: Segment, instances: Instances, heard: Heard
) -> None:
    async def story() -> None:
        async with serving(routed, instances, heard=heard) as node:
            await node.ask("/latest/user-data", headers={TOKEN: "x"})
            assert not heard.events
            for _ in range(3):
                await node.ask("/latest/user-data")
            assert [(event.name, event.address) for event in heard.events] == [("instance.metadata", NODE)]
            assert "secret" not in repr(heard.events)
            instances.awaited = False
            await node.ask("/latest/user-data", source=STRANGER)
            assert len(heard.events) == 1

    play(story)


def test_nobody_is_heard_but_at_the_nodes_interface(routed: Segment, instances: Instances) -> None:
    async def story() -> None:
        async with serving(routed, instances):
            with pytest.raises(OSError):
                await asyncio.to_thread(socket.create_connection, (ADDRESS, 80), 20)

    play(story)


def test_a_system_without_the_address_is_told_how_to_get_it(network: Segment, instances: Instances) -> None:
    async def story() -> None:
        async with serving(network, instances):
            pass

    with pytest.raises(PermanentError, match=r"ip address add 169\.254\.169\.254/32 dev lo"):
        play(story)
