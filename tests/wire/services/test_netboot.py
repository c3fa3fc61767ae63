"""A node's way from power-on to its kernel, over the real services."""

from __future__ import annotations

import asyncio
import http.client
import io
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tftpy import TftpClient

from provisioner.core.model import PublicationKind
from provisioner.drivers.ipxe import dialect
from provisioner.drivers.offer_publisher import OfferPublisher
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.netboot import Offer
from provisioner.services.children import SystemChildren
from provisioner.services.dnsmasq import DnsmasqService
from provisioner.services.loaders import find_loaders
from provisioner.services.node_http import NodeHttpService
from provisioner.services.system import SystemClock
from provisioner.services.tftp import TftpService
from tests.wire.services.conftest import Heard, play
from tests.wire.services.dhcp_client import DhcpClient
from tests.wire.services.segment import HOST, NODE, NODE_MAC, Segment
from tests.wire.services.test_dnsmasq import NETWORK
from tests.wire.services.tftp_clients import fetch

pytestmark = pytest.mark.wire

COMMAND_LINE = "console=ttyS0 BOOTIF=01-52-54-00-77-00-01 provisioner.token=a1"


@asynccontextmanager
async def publisher(folder: Path, heard: Heard) -> AsyncIterator[OfferPublisher]:
    clock = SystemClock()
    async with (
        NodeHttpService(HOST, 0, heard, clock) as http_service,
        TftpService(HOST, heard, clock) as tftp_service,
        DnsmasqService(NETWORK, folder / "dnsmasq", SystemChildren(), heard, clock) as dnsmasq,
    ):
        services = (http_service, tftp_service, dnsmasq)
        yield OfferPublisher(services, {"ipxe": dialect(http_service.url, find_loaders())})


def entry(folder: Path, kind: PublicationKind = PublicationKind.AGENT) -> BootEntry:
    files = {name: folder / name for name in ("kernel", "ramdisk")}
    for path in files.values():
        path.write_bytes(os.urandom(100_000))
    return BootEntry(
        node_id="3d9c1f6e-1111-4000-8000-000000000001",
        node_name="n1",
        arch="x86_64",
        firmware="bios",
        macs=(NODE_MAC,),
        addresses=(NODE,),
        kind=kind,
        token="a1" * 16,
        files=files,
        command_line=COMMAND_LINE,
    )


async def get(network: Segment, url: str) -> tuple[int, bytes]:
    parts = urlsplit(url)

    def call() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(parts.netloc, timeout=60, source_address=(NODE, 0))
        try:
            connection.request("GET", parts.path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    return await network.run_at_node(call)


@pytest.mark.parametrize(
    ("firmware", "plain", "loader"),
    [("ipxe-bios-discover", True, "undionly.kpxe"), ("ovmf-pxe-discover", False, "snponly.efi")],
)
def test_from_the_first_request_to_kernel_and_ramdisk(
    network: Segment, tmp_path: Path, heard: Heard, firmware: str, plain: bool, loader: str
) -> None:
    def load(name: str) -> bytes:
        got = io.BytesIO()
        TftpClient(HOST, 69, options={"blksize": 1408}, localip=NODE).download(name, got, timeout=20)
        return got.getvalue()

    async def story() -> None:
        async with publisher(tmp_path, heard) as publishing:
            published = entry(tmp_path)
            await publishing.publish(published)
            rom = await asyncio.to_thread(lambda: client.ask(firmware, plain=plain))
            assert rom is not None and (rom.boot_file, rom.next_server) == (loader, HOST)
            loaded = await network.run_at_node(lambda: load(rom.boot_file))
            assert loaded == Path("/usr/lib/ipxe", loader).read_bytes()
            ipxe = await asyncio.to_thread(
                lambda: client.ask("ipxe-bios-discover", kind="request", address=NODE)
            )
            assert ipxe is not None
            status, script = await get(network, ipxe.boot_file)
            assert status == 200 and script.startswith(b"#!ipxe")
            assert f" {COMMAND_LINE} ||" in script.decode()
            urls = re.findall(r"http://\S+", script.decode())
            assert [url.rsplit("/", 1)[1] for url in urls] == ["kernel", "ramdisk"]
            for url, path in zip(urls, published.files.values(), strict=True):
                assert await get(network, url) == (200, path.read_bytes())
            await heard.until("http.sent", 3)

    with DhcpClient(network) as client:
        play(story)


def test_the_late_withdrawal_of_a_node_takes_nothing_from_the_one_that_has_its_address_by_now(
    network: Segment, heard: Heard
) -> None:
    """As when it was deleted, and is enrolled anew."""

    def of(node: str) -> Offer:
        return Offer(
            node_id=node,
            node_name=node,
            macs=(NODE_MAC,),
            addresses=(NODE,),
            token=node,
            files={"kernel": f"of {node}"},
            tftp_files={"kernel": f"of {node}".encode()},
        )

    async def story() -> None:
        clock = SystemClock()
        async with (
            NodeHttpService(HOST, 0, heard, clock) as http_service,
            TftpService(HOST, heard, clock) as tftp_service,
        ):
            for service in (http_service, tftp_service):
                await service.offer(of("old"))
                await service.offer(of("new"))
                await service.withdraw("old")
            assert await get(network, f"{http_service.url}/boot/new/kernel") == (200, b"of new")
            assert await fetch(network, "kernel") == b"of new"

    play(story)


def test_a_new_publication_ends_the_old_one(network: Segment, tmp_path: Path, heard: Heard) -> None:
    async def story() -> None:
        async with publisher(tmp_path, heard) as publishing:
            agent = entry(tmp_path)
            await publishing.publish(agent)
            await publishing.publish(agent)
            first = await asyncio.to_thread(lambda: client.ask("ipxe-bios-discover"))
            assert first is not None
            local = replace(
                entry(tmp_path, PublicationKind.LOCAL_DISK), token="b2" * 16, files={}, command_line=""
            )
            await publishing.publish(local)
            assert (await get(network, first.boot_file))[0] == 404
            second = await asyncio.to_thread(lambda: client.ask("ipxe-bios-discover"))
            assert second is not None and second.boot_file != first.boot_file
            status, script = await get(network, second.boot_file)
            assert status == 200 and b"sanboot" in script and b"kernel" not in script
            await publishing.publish(replace(local, kind=PublicationKind.NOTHING, token=""))
            assert (await get(network, second.boot_file))[0] == 404
            third = await asyncio.to_thread(lambda: client.ask("ipxe-bios-discover"))
            assert third is not None and (third.address, third.boot_file) == (NODE, "")
            await publishing.withdraw(agent.node_id)
            await publishing.withdraw(agent.node_id)
            gone = await asyncio.to_thread(lambda: client.ask("ipxe-bios-discover", deadline_s=0.7))
            assert gone is None

    with DhcpClient(network) as client:
        play(story)
