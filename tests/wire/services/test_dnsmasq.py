from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6ND_RS, ICMPv6NDOptPrefixInfo, IPv6
from scapy.layers.l2 import Ether

from provisioner.core.errors import PermanentError
from provisioner.protocols.events import WireEvent
from provisioner.protocols.netboot import Loader, Offer
from provisioner.protocols.roots import folder_name
from provisioner.services.children import SystemChildren
from provisioner.services.dnsmasq import DnsmasqService
from provisioner.services.dnsmasq_config import DhcpNetwork, static_part
from provisioner.services.system import SystemClock
from tests.wire.services.conftest import Heard, play
from tests.wire.services.dhcp_client import Answer, DhcpClient
from tests.wire.services.segment import (
    HOST,
    HOST_IF,
    NODE,
    NODE_IF,
    NODE_MAC,
    STRANGER_MAC,
    Segment,
    children_of,
)

pytestmark = pytest.mark.wire

URL = f"http://{HOST}:8080/boot/abc"
NETWORK = DhcpNetwork(interface=HOST_IF, address=IPv4Address(HOST), subnet=IPv4Network("10.77.0.0/24"))
SILENCE_S = 0.7
OFFER, ACK = 2, 5


def offer(node: str = "node-1", mac: str = NODE_MAC, *, url: str = URL, nothing: bool = False) -> Offer:
    files = {
        Loader.IPXE: f"{url}/boot.ipxe",
        Loader.BIOS: "undionly.kpxe",
        Loader.UEFI: "snponly.efi",
        Loader.UEFI_HTTP: f"{url}/snponly.efi",
    }
    return Offer(
        node_id=node, node_name=node, macs=(mac,), addresses=(NODE,), boot_files={} if nothing else files
    )


@asynccontextmanager
async def dnsmasq(folder: Path, sink: Heard, *offers: Offer) -> AsyncIterator[DnsmasqService]:
    async with DnsmasqService(NETWORK, folder, SystemChildren(), sink, SystemClock()) as service:
        for one in offers:
            await service.offer(one)
        yield service


async def ask(client: DhcpClient, capture: str, **how: object) -> Answer | None:
    return await asyncio.to_thread(lambda: client.ask(capture, **how))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("capture", "plain", "boot_file"),
    [
        ("ipxe-bios-discover", False, f"{URL}/boot.ipxe"),
        ("ipxe-uefi-discover", False, f"{URL}/boot.ipxe"),
        ("ipxe-bios-discover", True, "undionly.kpxe"),
        ("ovmf-pxe-discover", False, "snponly.efi"),
        ("ovmf-http-discover", False, f"{URL}/snponly.efi"),
    ],
)
def test_each_kind_of_firmware_is_given_what_it_can_load(
    network: Segment, tmp_path: Path, heard: Heard, capture: str, plain: bool, boot_file: str
) -> None:
    async def story() -> None:
        async with dnsmasq(tmp_path, heard, offer()):
            answer = await ask(client, capture, plain=plain)
            assert answer is not None and answer.kind == OFFER
            assert (answer.address, answer.next_server, answer.boot_file) == (NODE, HOST, boot_file)
            if "http" in capture:
                assert answer.options["vendor_class_id"] == b"HTTPClient"
            taken = await ask(client, capture, plain=plain, kind="request", address=NODE)
            assert taken is not None and (taken.kind, taken.boot_file) == (ACK, boot_file)
            for name in ("dhcp.discover", "dhcp.offer", "dhcp.request", "dhcp.ack"):
                assert (await heard.until(name))[0].mac == NODE_MAC

    with DhcpClient(network) as client:
        play(story)


def test_a_board_that_asks_by_bootp_is_given_its_file_and_seen(
    network: Segment, tmp_path: Path, heard: Heard
) -> None:
    board = replace(offer(), boot_files={Loader.ANY: "node-1/kernel"})

    async def story() -> None:
        async with dnsmasq(tmp_path, heard, board):
            answer = await ask(client, "ovmf-pxe-discover", kind="")
            assert answer is not None
            assert (answer.address, answer.next_server, answer.boot_file) == (NODE, HOST, "node-1/kernel")
            for name in ("dhcp.discover", "dhcp.ack"):
                (event,) = await heard.until(name)
                assert (event.mac, event.detail["address"]) == (NODE_MAC, NODE)
            stranger = await ask(client, "ovmf-pxe-discover", kind="", mac=STRANGER_MAC, deadline_s=SILENCE_S)
            assert stranger is None
            (_, ignored) = await heard.until("dhcp.discover", 2)
            assert (ignored.mac, ignored.detail["ignored"]) == (STRANGER_MAC, True)

    with DhcpClient(network) as client:
        play(story)


LONG = folder_name(str(UUID(int=1)), 1, str(UUID(int=2)))
"""As the provisioner names them."""


@pytest.mark.parametrize(
    ("kind", "folder", "named"),
    [("discover", LONG, True), ("", "r1", True), ("", LONG, False)],
    ids=["DHCP", "BOOTP", "BOOTP has 64 bytes for all its options"],
)
def test_a_root_by_nfs_is_named_whole_with_its_options_or_not_at_all(
    network: Segment, tmp_path: Path, heard: Heard, kind: str, folder: str, named: bool
) -> None:
    root = f"{HOST}:/{folder},vers=4,proto=tcp"
    board = replace(offer(), boot_files={Loader.ANY: "node-1/kernel"}, root_path=root)

    async def story() -> None:
        async with dnsmasq(tmp_path, heard, board):
            answer = await ask(client, "ovmf-pxe-discover", kind=kind)
            assert answer is not None
            assert answer.options.get("root_disk_path") == (root.encode() if named else None)

    with DhcpClient(network) as client:
        play(story)


def test_ipxe_is_told_that_no_proxy_server_comes(network: Segment, tmp_path: Path, heard: Heard) -> None:
    async def story() -> None:
        async with dnsmasq(tmp_path, heard, offer()):
            answer = await ask(client, "ipxe-bios-discover")
            assert answer is not None and answer.options[175][:3] == bytes((176, 1, 1))

    with DhcpClient(network) as client:
        play(story)


@pytest.mark.parametrize(
    ("gateway", "routes"),
    [
        ("", f"169.254.169.254/32,{HOST}"),
        ("10.77.0.1", f"169.254.169.254/32,{HOST},0.0.0.0/0,10.77.0.1"),
    ],
)
def test_the_way_to_the_metadata_leaves_a_default_route_as_it_is(gateway: str, routes: str) -> None:
    network = replace(
        NETWORK,
        gateway=IPv4Address(gateway) if gateway else None,
        metadata=IPv4Address("169.254.169.254"),
    )
    told = static_part(network, Path("/f"), user="u", group="g").splitlines()
    assert f"dhcp-option=option:classless-static-route,{routes}" in told
    assert not [
        line
        for line in static_part(NETWORK, Path("/f"), user="u", group="g").splitlines()
        if "route," in line
    ]


def test_a_machine_that_is_not_enrolled_gets_nothing_and_is_seen_once(
    network: Segment, tmp_path: Path, heard: Heard
) -> None:
    async def story() -> None:
        async with dnsmasq(tmp_path, heard, offer()):
            for _ in range(3):
                stranger = await ask(client, "ipxe-bios-discover", mac=STRANGER_MAC, deadline_s=SILENCE_S)
                assert stranger is None
            assert await ask(client, "ipxe-bios-discover") is not None
            await heard.until("dhcp.offer")
            seen = [event for event in heard.events if event.mac == STRANGER_MAC]
            assert [(event.name, event.detail["ignored"]) for event in seen] == [("dhcp.discover", True)]

    with DhcpClient(network) as client:
        play(story)


def test_a_node_without_anything_published_has_an_address_and_no_boot_file(
    network: Segment, tmp_path: Path, heard: Heard
) -> None:
    async def story() -> None:
        async with dnsmasq(tmp_path, heard, offer(nothing=True)):
            answer = await ask(client, "ipxe-bios-discover")
            assert answer is not None and (answer.address, answer.boot_file) == (NODE, "")

    with DhcpClient(network) as client:
        play(story)


def test_an_offer_is_in_force_when_publishing_returns_and_gone_when_withdrawing_does(
    network: Segment, tmp_path: Path, heard: Heard
) -> None:
    async def story() -> None:
        async with dnsmasq(tmp_path, heard) as service:
            for number in range(20):
                await service.offer(offer(url=f"{URL}{number}"))
                answer = await ask(client, "ipxe-bios-discover")
                assert answer is not None and answer.boot_file == f"{URL}{number}/boot.ipxe"
            await service.withdraw("node-1")
            assert await ask(client, "ipxe-bios-discover", deadline_s=SILENCE_S) is None

    with DhcpClient(network) as client:
        play(story)


def test_a_thousand_changes_at_once_are_all_in_force(network: Segment, tmp_path: Path, heard: Heard) -> None:
    def other(number: int) -> Offer:
        mac = f"52:54:00:78:{number >> 8:02x}:{number & 255:02x}"
        address = f"10.77.{1 + (number >> 8)}.{number & 255}"
        return Offer(node_id=f"other-{number}", node_name="x", macs=(mac,), addresses=(address,))

    async def story() -> None:
        async with dnsmasq(tmp_path, heard) as service:
            others = [service.offer(other(number)) for number in range(1000)]
            await asyncio.gather(*others, service.offer(offer()))
            answer = await ask(client, "ipxe-bios-discover")
            assert answer is not None and answer.address == NODE

    with DhcpClient(network) as client:
        play(story)


def test_an_address_goes_to_another_machine_although_the_first_still_holds_its_lease(
    network: Segment, tmp_path: Path, heard: Heard
) -> None:
    async def story() -> None:
        async with dnsmasq(tmp_path, heard, offer()) as service:
            assert await ask(client, "ipxe-bios-discover", kind="request", address=NODE) is not None
            await service.withdraw("node-1")
            await service.offer(offer("node-2", STRANGER_MAC))
            answer = await ask(client, "ipxe-bios-discover", mac=STRANGER_MAC)
            assert answer is not None and answer.address == NODE

    with DhcpClient(network) as client:
        play(story)


def test_dnsmasq_that_dies_is_started_again(network: Segment, tmp_path: Path, heard: Heard) -> None:
    async def story() -> None:
        async with dnsmasq(tmp_path, heard, offer()):
            (pid,) = children_of(os.getpid())
            os.kill(pid, signal.SIGKILL)
            while await ask(client, "ipxe-bios-discover", deadline_s=SILENCE_S) is None:
                pass
            assert children_of(os.getpid()) != [pid]

    with DhcpClient(network) as client:
        play(story)


def test_a_router_solicitation_is_answered_by_a_router_that_nobody_uses(
    network: Segment, tmp_path: Path, heard: Heard
) -> None:
    def solicit() -> Any:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            raw.bind((NODE_IF, 0x86DD))
            raw.settimeout(60)
            asking = IPv6(src="fe80::5054:ff:fe77:1", dst="ff02::2", hlim=255) / ICMPv6ND_RS()
            raw.send(bytes(Ether(src=NODE_MAC, dst="33:33:00:00:00:02") / asking))
            while True:
                frame = Ether(raw.recv(2048))
                if ICMPv6ND_RA in frame:
                    return frame[ICMPv6ND_RA]

    async def story() -> None:
        async with dnsmasq(tmp_path, heard):
            answer = await network.run_at_node(solicit)
            assert answer.routerlifetime == 0
            assert answer[ICMPv6NDOptPrefixInfo].prefix == "fd77::"

    play(story)


def test_a_second_dhcp_server_on_this_machine_is_told_of(
    network: Segment, tmp_path: Path, heard: Heard
) -> None:
    async def story() -> None:
        async with dnsmasq(tmp_path, heard):
            pass

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rival:
        rival.bind(("0.0.0.0", 67))
        with pytest.raises(PermanentError, match=r"in use.*another DHCP server"):
            play(story)
    assert children_of(os.getpid()) == []


def test_an_interface_that_is_not_there_is_told_of(network: Segment, tmp_path: Path, heard: Heard) -> None:
    async def story() -> None:
        wrong = DhcpNetwork(interface="prov9", address=NETWORK.address, subnet=NETWORK.subnet)
        async with DnsmasqService(wrong, tmp_path, SystemChildren(), heard, SystemClock()):
            pass

    with pytest.raises(PermanentError, match=r"'prov9': there is no such network interface"):
        play(story)


OWNER = """
import asyncio, sys
from pathlib import Path
from uuid import UUID
from tests.wire.services.test_dnsmasq import NETWORK, dnsmasq

async def main():
    async with dnsmasq(Path(sys.argv[1]), lambda event: None):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_no_dnsmasq_outlives_its_owner_however_that_ends(network: Segment, tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None and owner.stdout.readline() == "ready\n"
        (pid,) = children_of(owner.pid)
        dnsmasq_dies = os.pidfd_open(pid)
    finally:
        owner.kill()
        owner.communicate()

    async def died() -> None:
        gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(dnsmasq_dies, gone.set)
        await gone.wait()

    play(died)
    os.close(dnsmasq_dies)


def test_no_event_holds_a_boot_url(network: Segment, tmp_path: Path, heard: Heard) -> None:
    """The URL holds the node's token, and events are kept and shown."""

    def leaks(event: WireEvent) -> bool:
        return "boot/abc" in f"{event.text} {event.detail}"

    async def story() -> None:
        async with dnsmasq(tmp_path, heard, offer()):
            await ask(client, "ipxe-bios-discover", kind="request", address=NODE)
            await heard.until("dhcp.ack")
            assert not [event for event in heard.events if leaks(event)]

    with DhcpClient(network) as client:
        play(story)
