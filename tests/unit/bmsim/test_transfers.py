"""What passes the wire is written down once, by node, and without secrets."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from bmsim.sandbox import rival_dhcp
from bmsim.sandbox.frames import TCP, Datagram, Dhcp, datagram, dhcp
from bmsim.sandbox.transfers import Transfers, without_secrets

NODE_MAC, OTHER_MAC, HOST_MAC = "52:54:00:77:00:01", "52:54:00:77:00:02", "02:00:00:00:00:01"
NODE, HOST = "10.77.0.100", "10.77.0.10"

Noted = list[tuple[str, str, str, dict[str, Any]]]


@pytest.fixture
def noted() -> Noted:
    return []


@pytest.fixture
def transfers(noted: Noted) -> Transfers:
    def note(node: str, device: str, command: str, sender: str, result: str = "ok", **args: Any) -> None:
        assert node == "n1"
        noted.append((device, command, result, args))

    return Transfers({NODE_MAC: "n1"}, note)


def from_node(port: int, to_port: int, payload: bytes, **tcp: int) -> Datagram:
    return Datagram(NODE_MAC, HOST_MAC, NODE, HOST, port, to_port, payload, **tcp)


def to_node(port: int, to_port: int, payload: bytes, **tcp: int) -> Datagram:
    return Datagram(HOST_MAC, NODE_MAC, HOST, NODE, port, to_port, payload, **tcp)


def test_a_file_is_sent_by_tftp_when_its_last_block_is_acknowledged(
    transfers: Transfers, noted: Noted
) -> None:
    transfers.see(from_node(2000, 69, b"\0\1undionly.kpxe\0octet\0blksize\x001408\0"))
    transfers.see(to_node(40000, 2000, b"\0\6blksize\x00600\0"))
    for block, size_bytes in ((1, 600), (1, 600), (2, 600), (3, 10)):  # the first is sent twice
        transfers.see(to_node(40000, 2000, struct.pack("!HH", 3, block) + bytes(size_bytes)))
        assert noted == [("tftp", "read", "ok", {"file": "undionly.kpxe"})]
        transfers.see(from_node(2000, 40000, struct.pack("!HH", 4, block)))
    assert noted[1:] == [("tftp", "sent", "ok", {"file": "undionly.kpxe", "bytes": 1210})]


def test_a_request_that_is_sent_again_is_one(transfers: Transfers, noted: Noted) -> None:
    for _ in range(3):
        transfers.see(from_node(2000, 69, b"\0\1boot\0octet\0"))
    transfers.see(to_node(40000, 2000, b"\0\5\0\1File not found\0"))
    assert [(command, result) for _, command, result, _ in noted] == [
        ("read", "ok"),
        ("refused", "1 File not found"),
    ]


def test_a_file_is_sent_by_http_when_all_of_it_is_acknowledged(transfers: Transfers, noted: Noted) -> None:
    token = "Zx9" * 12
    asked = f"GET /boot/{token}/kernel HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    start = 2**32 - 100  # sequence numbers come round
    transfers.see(from_node(3000, 8080, asked, protocol=TCP))
    transfers.see(to_node(8080, 3000, head + bytes(1000), protocol=TCP, seq=start))
    end = (start + len(head) + 5000) % 2**32
    transfers.see(from_node(3000, 8080, b"", protocol=TCP, ack=(end - 1) % 2**32))
    assert noted == [("http", "get", "ok", {"file": "kernel"})]
    transfers.see(from_node(3000, 8080, b"", protocol=TCP, ack=end))
    assert noted[1:] == [("http", "sent", "ok", {"file": "kernel", "bytes": 5000, "offered_to": "n1"})]
    assert token not in repr(noted)


def test_a_refusal_by_http_is_one(transfers: Transfers, noted: Noted) -> None:
    transfers.see(from_node(3000, 8080, b"GET /boot/t/kernel HTTP/1.1\r\n\r\n", protocol=TCP))
    transfers.see(to_node(8080, 3000, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", protocol=TCP))
    assert noted[1:] == [("http", "refused", "404", {"file": "kernel"})]


def test_what_a_rival_sends_is_an_offer_as_any_other(transfers: Transfers, noted: Noted) -> None:
    asked = Dhcp("discover", NODE_MAC, b"\1\2\3\4", "PXEClient", 0, "0.0.0.0", "")
    frame = rival_dhcp.answer(asked, IPv4Network("10.77.0.0/24"), None, "rival/boot.kpxe")
    assert frame is not None
    packet = datagram(frame)
    assert packet is not None
    assert packet.sender == "10.77.0.254:67"
    found = dhcp(packet.payload)
    assert found is not None
    assert (found.message, found.mac, found.transaction) == ("offer", NODE_MAC, b"\1\2\3\4")
    assert (found.address, found.file) == ("10.77.0.253", "rival/boot.kpxe")
    transfers.see(packet)
    assert [(device, command, args["exchange"]) for device, command, _, args in noted] == [
        ("dhcp", "offer", "01020304")
    ]


TOKEN = "Zx9" * 12


class TwoNodes:
    """What is noted of two of them."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        """To whom, and whose it was."""
        self.transfers = Transfers({NODE_MAC: "n1", OTHER_MAC: "n2"}, self._note)

    def _note(
        self, node: str, device: str, command: str, sender: str, result: str = "ok", **args: Any
    ) -> None:
        if command == "sent":
            self.sent.append((node, args.get("offered_to", "")))

    def passes(self, mac: str, port: int, packet: Datagram, *, to: bool) -> None:
        ends = {"to_mac": mac, "target_port": port} if to else {"from_mac": mac, "source_port": port}
        self.transfers.see(replace(packet, **ends))

    def fetches_by_http(self, mac: str, path: str) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        asked = from_node(0, 8080, f"GET {path} HTTP/1.1\r\n\r\n".encode(), protocol=TCP)
        self.passes(mac, 3000, asked, to=False)
        self.passes(mac, 3000, to_node(8080, 0, head, protocol=TCP, seq=1), to=True)
        self.passes(mac, 3000, from_node(0, 8080, b"", protocol=TCP, ack=1 + len(head)), to=False)

    def fetches_by_tftp(self, mac: str, file: str, content: bytes) -> None:
        self.passes(mac, 2000, from_node(0, 69, b"\0\1" + file.encode() + b"\0octet\0"), to=False)
        blocks = [content[at : at + 512] for at in range(0, len(content) + 1, 512)]
        for number, block in enumerate(blocks, 1):
            self.passes(mac, 2000, to_node(4000, 0, struct.pack("!HH", 3, number) + block), to=True)
            self.passes(mac, 2000, from_node(0, 4000, struct.pack("!HH", 4, number)), to=False)

    def is_offered(self, mac: str, file: str) -> None:
        asked = Dhcp("discover", mac, b"\1\2\3\4", "PXEClient", 0, "0.0.0.0", "")
        frame = rival_dhcp.answer(asked, IPv4Network("10.77.0.0/24"), None, file)
        packet = datagram(frame) if frame is not None else None
        assert packet is not None
        self.transfers.see(packet)


def test_a_file_is_whose_it_was_offered_to_first_though_another_fetches_it() -> None:
    seen = TwoNodes()
    seen.is_offered(NODE_MAC, f"http://{HOST}:8080/boot/{TOKEN}/boot.ipxe")
    seen.fetches_by_http(OTHER_MAC, f"/boot/{TOKEN}/kernel")
    seen.fetches_by_http(NODE_MAC, f"/boot/{TOKEN}/kernel")
    assert seen.sent == [("n2", "n1"), ("n1", "n1")]


def test_a_folder_by_tftp_is_whose_it_was_offered_to_first() -> None:
    seen = TwoNodes()
    for mac in (NODE_MAC, OTHER_MAC):
        seen.is_offered(mac, f"{TOKEN}/kernel")
    seen.fetches_by_tftp(OTHER_MAC, f"{TOKEN}/kernel", b"k")
    assert seen.sent == [("n2", "n1")]


@pytest.mark.parametrize("behind", [0, 480, 2000], ids=["first block", "across two", "later block"])
def test_a_boot_script_is_whose_token_it_hands_over(behind: int) -> None:
    seen = TwoNodes()
    script = b"#" * behind + f"linux /kernel 'provisioner.token={TOKEN}'".encode()
    for mac in (NODE_MAC, OTHER_MAC):
        seen.fetches_by_tftp(mac, "grub/grub.cfg", script)
    assert seen.sent == [("n1", "n1"), ("n2", "n1")]


def test_a_file_that_anybody_may_have_is_nobodys() -> None:
    seen = TwoNodes()
    for mac in (NODE_MAC, OTHER_MAC):
        seen.is_offered(mac, "undionly.kpxe")
        seen.fetches_by_tftp(mac, "undionly.kpxe", b"\x7fELF" * 4000)
        seen.fetches_by_http(mac, "/agent/v1/hello")
    assert {whose for _, whose in seen.sent} == {""}
    assert len(seen.sent) == 4


def test_a_question_and_an_answer_by_bootp_are_told_as_such(transfers: Transfers, noted: Noted) -> None:
    """RFC 951: no message has a type."""
    hardware = bytes.fromhex(NODE_MAC.replace(":", "")).ljust(16, b"\0")
    for op, address, port in ((1, bytes(4), 68), (2, bytes((10, 77, 0, 100)), 67)):
        header = bytes((op, 1, 6, 0)) + bytes(12) + address + bytes(8) + hardware
        file = b"n1/kernel" if op == 2 else b""
        payload = header + bytes(64) + file.ljust(128, b"\0") + b"\x63\x82\x53\x63\xff" + bytes(59)
        transfers.see(from_node(port, 135 - port, payload))
    told = {"mac": NODE_MAC, "client": "", "exchange": "00000000"}
    assert noted == [
        ("dhcp", "bootrequest", "ok", {**told, "arch": None}),
        ("dhcp", "bootreply", "ok", {**told, "address": NODE, "file": "n1/kernel"}),
    ]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/boot/abc123/kernel", "kernel"),
        ("/phone-home/abc123", "phone-home"),
        ("/agent/v1/hello", "hello"),
        ("/boot/x/" + "k" * 40, "boot"),
        ("/" + "k" * 40, "TOKEN"),
        ("/boot/x/kernel?token=abc", "kernel"),
        ("/", "/"),
    ],
)
def test_a_path_is_told_without_its_token(path: str, told: str) -> None:
    assert without_secrets(path) == told


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_no_frame_is_too_short(cut: int, transfers: Transfers, noted: Noted) -> None:
    asked = Dhcp("discover", NODE_MAC, b"\1\2\3\4", "PXEClient", 0, "0.0.0.0", "")
    frame = rival_dhcp.answer(asked, IPv4Network("10.77.0.0/24"), None, "boot")
    assert frame is not None
    packet = datagram(frame[:cut])
    if packet is not None:
        transfers.see(packet)
    assert noted == []


def test_others_are_nobodys_business(transfers: Transfers, noted: Noted) -> None:
    others: tuple[Callable[[], Datagram], ...] = (
        lambda: Datagram(HOST_MAC, "ff:ff:ff:ff:ff:ff", HOST, NODE, 2000, 69, b"\0\1boot\0octet\0"),
        lambda: Datagram(HOST_MAC, NODE_MAC, HOST, NODE, 3000, 8080, b"GET / HTTP/1.1\r\n\r\n", TCP),
    )
    for make in others:
        transfers.see(make())
    assert noted == []
