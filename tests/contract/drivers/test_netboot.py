"""What each kind of client is told by DHCP, for what is published: by dnsmasq, and by the model of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from provisioner.core.model import PublicationKind
from provisioner.drivers import ipxe, tilera, uboot
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.netboot import Loader, NetbootService, Offer
from provisioner.services.children import SystemChildren
from provisioner.services.dnsmasq import DnsmasqService
from provisioner.services.dnsmasq_config import DhcpNetwork
from provisioner.services.system import SystemClock
from scenarios.runner.model.host_disk import HostDisk
from scenarios.runner.model.netboot import LOADERS, ModelNetboot
from tests.wire.services.conftest import Heard, play
from tests.wire.services.dhcp_client import ANSWER_DEADLINE_S, DhcpClient
from tests.wire.services.segment import HOST, HOST_IF, NODE, NODE_MAC, STRANGER_MAC, segment

URL = f"http://{HOST}:8080"
ROOT = f"{HOST}:/roots/n1"
ID = "3d9c1f6e-1111-4000-8000-000000000001"
DIALECTS: Mapping[str, Callable[[BootEntry], Offer]] = {
    "ipxe": ipxe.dialect(URL, LOADERS),
    "uboot": uboot.make_offer,
    "tilera": tilera.make_offer,
}
AGENT = BootEntry(
    node_id=ID,
    node_name="n1",
    arch="x86_64",
    firmware="bios",
    boot_driver="ipxe",
    macs=(NODE_MAC,),
    addresses=(NODE,),
    kind=PublicationKind.AGENT,
    token="t0ken",
    files={"kernel": Path("/k"), "ramdisk": Path("/r")},
    command_line="console=ttyS0",
)
ENTRIES = {
    "ipxe": AGENT,
    "uboot": replace(AGENT, arch="arm64", firmware="uboot", boot_driver="uboot"),
    "tilera": replace(
        *(AGENT,),
        arch="tilepro64",
        firmware="tilera",
        boot_driver="tilera",
        kind=PublicationKind.INSTANCE,
        files={"kernel": Path("/k")},
        nfs_root=Path("/roots/n1"),
        nfs_source=ROOT,
    ),
    "nothing": replace(AGENT, boot_driver="uboot", kind=PublicationKind.NOTHING, token="", files={}),
}


@dataclass(frozen=True, slots=True)
class Client:
    """capture: what it is made of on the wire. client: what it calls itself."""

    capture: str
    architecture: int | None
    client: str
    asks_for_root: bool = False


CLIENTS = {
    "iPXE": Client("ipxe-bios-discover", 0x00, "iPXE"),
    "BIOS": Client("ipxe-bios-discover", 0x00, "PXEClient:Arch:00000:UNDI:002001"),
    "UEFI": Client("ovmf-pxe-discover", 0x07, "PXEClient:Arch:00007:UNDI:003001"),
    "arm's U-Boot": Client("ovmf-pxe-discover", 0x15, "U-Boot.armv7"),
    "arm64's U-Boot": Client("ovmf-pxe-discover", 0x16, "U-Boot.armv8"),
    "a U-Boot that says nothing": Client("ovmf-pxe-discover", None, "U-Boot"),
    "arm's U-Boot as UEFI": Client("ovmf-pxe-discover", 0x0A, "PXEClient:Arch:00010:UNDI:003000"),
    "U-Boot as UEFI": Client("ovmf-pxe-discover", 0x0B, "PXEClient:Arch:00011:UNDI:003000"),
    "a board": Client("ovmf-pxe-discover", None, "tile", asks_for_root=True),
}
SCRIPT = f"{URL}/boot/t0ken/boot.ipxe"
LOADED = {loader: path.name for loader, path in LOADERS.items()}
TOLD: Mapping[str, Mapping[str, str]] = {
    "ipxe": {"iPXE": SCRIPT, "BIOS": LOADED[Loader.BIOS], "UEFI": LOADED[Loader.UEFI]},
    "uboot": dict.fromkeys(
        ("arm's U-Boot", "arm64's U-Boot", "a U-Boot that says nothing", "a board"), uboot.SCRIPT
    ),
    "tilera": dict.fromkeys(CLIENTS, f"{ID}/kernel"),
    "nothing": {},
}
"""What is published → client → boot file. Who isn't named is given an address alone."""

Answer = tuple[str, str, str, str]
"""Address, server, boot file, root path."""


class Served:
    """A service, and how its clients ask. None: silence."""

    def __init__(self, service: NetbootService, wire: DhcpClient | None) -> None:
        self.service = service
        self._wire = wire

    async def ask(
        self, client: Client, mac: str = NODE_MAC, *, deadline_s: float = ANSWER_DEADLINE_S
    ) -> Answer | None:
        if self._wire is None:
            assert isinstance(self.service, ModelNetboot)
            lease = self.service.discover(mac, client.architecture, client.client)
            if lease is None:
                return None
            root = lease.root_path if client.asks_for_root else ""
            return lease.address, lease.server, lease.boot_file, root
        wire = self._wire

        def ask() -> Answer | None:
            answer = wire.ask(
                client.capture,
                mac=mac,
                plain=client.client != "iPXE",
                architecture=client.architecture,
                vendor=client.client,
                deadline_s=deadline_s,
            )
            if answer is None:
                return None
            root = bytes(answer.options.get("root_disk_path", b"")).rstrip(b"\0").decode()
            asked = root if client.asks_for_root else ""
            return answer.address, answer.next_server, answer.boot_file, asked

        return await asyncio.to_thread(ask)


@asynccontextmanager
async def by_dnsmasq(folder: Path, heard: Heard) -> AsyncIterator[Served]:
    network = DhcpNetwork(interface=HOST_IF, address=IPv4Address(HOST), subnet=IPv4Network("10.77.0.0/24"))
    with segment() as made, DhcpClient(made) as wire:
        async with DnsmasqService(network, folder, SystemChildren(), heard, SystemClock()) as service:
            yield Served(service, wire)


@asynccontextmanager
async def in_the_model(folder: Path, heard: Heard) -> AsyncIterator[Served]:
    yield Served(ModelNetboot(HOST, heard, HostDisk(lambda: None)), None)


WAYS = [
    pytest.param(by_dnsmasq, id="dnsmasq", marks=pytest.mark.wire),
    pytest.param(in_the_model, id="model"),
]
By = Callable[[Path, Heard], AbstractAsyncContextManager[Served]]


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("published", ENTRIES)
def test_each_client_is_told_what_it_can_load(by: By, published: str, tmp_path: Path) -> None:
    entry = ENTRIES[published]

    async def story() -> dict[str, Answer | None]:
        async with by(tmp_path, Heard()) as served:
            await served.service.offer(DIALECTS[entry.boot_driver](entry))
            return {name: await served.ask(client) for name, client in CLIENTS.items()}

    def wanted(name: str) -> Answer:
        root = (
            f"{ROOT},{tilera.ROOT_OPTIONS}" if published == "tilera" and CLIENTS[name].asks_for_root else ""
        )
        return NODE, HOST, TOLD[published].get(name, ""), root

    assert play(story) == {name: wanted(name) for name in CLIENTS}


@pytest.mark.parametrize("by", WAYS)
def test_what_was_withdrawn_is_offered_no_more_and_strangers_get_nothing(by: By, tmp_path: Path) -> None:
    heard, client = Heard(), CLIENTS["arm64's U-Boot"]

    async def story() -> None:
        async with by(tmp_path, heard) as served:
            await served.service.offer(uboot.make_offer(ENTRIES["uboot"]))
            assert await served.ask(client, STRANGER_MAC, deadline_s=0.7) is None
            assert await served.ask(client) is not None
            await served.service.offer(uboot.make_offer(ENTRIES["nothing"]))
            assert await served.ask(client) == (NODE, HOST, "", "")
            await served.service.withdraw(ID)
            assert await served.ask(client, deadline_s=5.0) is None
            (ignored, *_) = await heard.until("dhcp.discover")
            assert (ignored.mac, ignored.detail["ignored"]) == (STRANGER_MAC, True)

    play(story)
