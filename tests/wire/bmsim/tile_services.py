"""What a provisioner gives one board, from its own services: `python -m tests.wire.bmsim.tile_services`, told
on standard input as JSON, until that ends. Run on a compute host of the rack."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from provisioner.core.model import PublicationKind
from provisioner.drivers.offer_publisher import OfferPublisher
from provisioner.drivers.tilera import make_offer
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.events import WireEvent
from provisioner.services.children import SystemChildren
from provisioner.services.dnsmasq import DnsmasqService
from provisioner.services.dnsmasq_config import DhcpNetwork
from provisioner.services.ganesha import GaneshaService, nfs_path
from provisioner.services.system import SystemClock
from provisioner.services.tftp import TftpService

HOST = IPv4Address("10.77.0.10")


def heard(event: WireEvent) -> None:
    print(event.name, json.dumps(dict(event.detail)), flush=True)


async def serve(given: Mapping[str, str]) -> None:
    folder, root = Path(given["folder"]), Path(given["root"])
    children, clock = SystemChildren(), SystemClock()
    network = DhcpNetwork(interface="prov0", address=HOST, subnet=IPv4Network("10.77.0.0/24"))
    async with AsyncExitStack() as stack:
        services = [
            await stack.enter_async_context(GaneshaService(HOST, folder / "ganesha", children, clock)),
            await stack.enter_async_context(TftpService(str(HOST), heard, clock)),
            await stack.enter_async_context(
                DnsmasqService(network, folder / "dnsmasq", children, heard, clock)
            ),
        ]
        entry = BootEntry(
            node_id=given["node_id"],
            node_name=given["node_id"],
            arch="tilepro64",
            firmware="tilera",
            boot_driver="tilera",
            macs=(given["mac"],),
            addresses=(given["address"],),
            kind=PublicationKind.INSTANCE,
            files={"kernel": Path(given["kernel"])},
            nfs_root=root,
            nfs_source=f"{HOST}:{nfs_path(root)}",
        )
        await OfferPublisher(services, {"tilera": make_offer}).publish(entry)
        print("ready", flush=True)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(0, ended.set)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.stdin.readline())))
