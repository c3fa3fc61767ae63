"""What a node would be told to boot is found out by asking as it would, of a real DHCP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from bmsim.api import RunningRack
from provisioner.protocols.netboot import Loader, Offer
from provisioner.services.children import SystemChildren
from provisioner.services.dnsmasq import DnsmasqService
from provisioner.services.dnsmasq_config import DhcpNetwork
from provisioner.services.system import SystemClock
from scenarios.runner.machine import boot_offers
from tests.wire.bmsim.conftest import rack_file
from tests.wire.bmsim.traces import eventually
from tests.wire.services.segment import HOST, HOST_IF, NODE_IF, Segment, segment

pytestmark = pytest.mark.wire

NETWORK = DhcpNetwork(interface=HOST_IF, address=IPv4Address(HOST), subnet=IPv4Network("10.77.0.0/24"))
MACS = {f"52:54:00:77:00:0{number}": f"n{number}" for number in range(1, 5)}
DEADLINE_S = 60.0


@pytest.fixture
def network() -> Iterator[Segment]:
    with segment() as made:
        yield made


@asynccontextmanager
async def dhcp(folder: Path, *offers: Offer) -> AsyncIterator[None]:
    service = DnsmasqService(NETWORK, folder, SystemChildren(), lambda event: None, SystemClock())
    async with asyncio.timeout(DEADLINE_S), service:
        for offer in offers:
            await service.offer(offer)
        yield


def offer(number: int, boot_files: dict[Loader, str], root: str = "") -> Offer:
    return Offer(
        node_id=f"node-{number}",
        node_name=f"n{number}",
        macs=(f"52:54:00:77:00:0{number}",),
        addresses=(f"10.77.0.10{number}",),
        boot_files=boot_files,
        root_path=root,
    )


def asked(network: Segment, folder: Path, *offers: Offer) -> dict[str, str]:
    async def story() -> dict[str, str]:
        async with dhcp(folder, *offers):
            return await network.run_at_node(lambda: boot_offers.offers(NODE_IF, MACS))

    return asyncio.run(story())


@pytest.mark.parametrize("loader", Loader)
def test_what_any_firmware_would_be_told_is_found(loader: Loader, network: Segment, tmp_path: Path) -> None:
    nothing = [offer(number, {}) for number in (1, 3, 4)]
    told = asked(network, tmp_path, offer(2, {loader: "boot.ipxe"}), *nothing)
    assert told == {"n1": "", "n2": "boot.ipxe", "n3": "", "n4": ""}


def test_a_root_by_nfs_is_something_to_boot(network: Segment, tmp_path: Path) -> None:
    told = asked(network, tmp_path, offer(1, {}, f"{HOST}:/roots/n1"), *(offer(n, {}) for n in (2, 3, 4)))
    assert told == {"n1": f"{HOST}:/roots/n1", "n2": "", "n3": "", "n4": ""}


def test_who_is_given_nothing_at_all_is_told_nothing(
    network: Segment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot_offers, "ANSWER_S", 0.3)
    assert asked(network, tmp_path, offer(4, {})) == {"n1": "", "n2": "", "n3": "", "n4": ""}


@pytest.mark.rack
def test_a_racks_hosts_are_asked_in_the_names_of_its_nodes(tmp_path: Path) -> None:
    spec = rack_file()
    (mac,) = (node["nics"][0]["mac"] for node in spec["nodes"])
    server = (
        *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root"),
        *("--interface=prov0", "--bind-dynamic", "--leasefile-ro", "--no-ping", "--pid-file="),
        *("--dhcp-range=10.77.0.0,static,255.255.255.0", f"--dhcp-host={mac},10.77.0.100"),
        "--dhcp-boot=undionly.kpxe",
    )
    with RunningRack.up(spec, tmp_path) as rack, rack.popen("ch1", server) as dnsmasq:
        try:
            told = eventually("it answers", lambda: boot_offers.of_rack(rack, {mac: "n1"})["n1"])
        finally:
            dnsmasq.terminate()
    assert told == "undionly.kpxe"
