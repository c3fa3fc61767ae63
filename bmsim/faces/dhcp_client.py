"""A board's questions by DHCP or BOOTP, and the answers, as they stand in packets (RFC 2131, 2132, 951)."""

from __future__ import annotations

import os
import socket
import struct
from ipaddress import IPv4Address

from bmsim.devices.messages import (
    BootpReply,
    BootpRequest,
    DhcpAck,
    DhcpDiscover,
    DhcpNak,
    DhcpOffer,
    DhcpRequest,
    OfDhcp,
)
from bmsim.sandbox.frames import DHCP_PORTS, MAGIC_COOKIE, Dhcp, dhcp

BROADCAST_FLAG = 0x8000
"""RFC 2131 §4.1, RFC 1542 §3.1.1: answers come to all, for who has no address yet."""

# RFC 2132: netmask, router, requested address, message type, server, wanted options, vendor class, root path.
MASK, ROUTER, WANTED, KIND, SERVER, ASKED_FOR, VENDOR, ROOT_PATH = 1, 3, 50, 53, 54, 55, 60, 17
USER_CLASS, ARCHITECTURE = 77, 93  # RFC 3004, RFC 4578 §2.1
BOOT_SERVER, BOOT_FILE = 66, 67
DISCOVER, REQUEST = 1, 3

LEAST_BYTES = 300
"""RFC 951 §3: with its vendor's area of 64 bytes."""

Asked = DhcpDiscover | DhcpRequest | BootpRequest


class DhcpWire:
    """The client's end, on one interface that needs no address. `fileno` is readable when there is news."""

    def __init__(self, interface: str) -> None:
        server, client = DHCP_PORTS
        self._to = ("255.255.255.255", server)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        self._socket.bind(("", client))
        self._socket.setblocking(False)
        self._asks: dict[bytes, int] = {}
        self._transactions: dict[int, bytes] = {}
        self.prefix = 24
        self.router = ""

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, question: Asked) -> None:
        transaction = self._transactions.get(question.ask)
        if transaction is None:
            # One exchange at a time: of older ones nothing is awaited any more.
            transaction = os.urandom(4)
            self._transactions, self._asks = {question.ask: transaction}, {transaction: question.ask}
        self._socket.sendto(packet(question, transaction), self._to)

    def answer(self) -> OfDhcp | None:
        """The next one that is for us; None: it was not."""
        try:
            found = dhcp(self._socket.recv(2048))
        except BlockingIOError:
            return None
        ask = self._asks.get(found.transaction) if found is not None else None
        if found is None or ask is None:
            return None
        if found.message in ("ack", "bootreply"):
            self._note(found)
        return answer(found, ask)

    def _note(self, found: Dhcp) -> None:
        mask = found.options.get(MASK, b"\xff\xff\xff\x00")
        self.prefix = int.from_bytes(mask[:4], "big").bit_count()
        router = found.options.get(ROUTER, b"")
        self.router = str(IPv4Address(router[:4])) if router else ""


def packet(question: Asked, transaction: bytes) -> bytes:
    header = struct.pack("!BBBB4sHH16x", 1, 1, 6, 0, transaction, 0, BROADCAST_FLAG)
    hardware = bytes.fromhex(question.mac.replace(":", "")).ljust(16, b"\0")
    told = b"".join(bytes((number, len(value))) + value for number, value in _options(question))
    return (header + hardware + bytes(192) + MAGIC_COOKIE + told + b"\xff").ljust(LEAST_BYTES, b"\0")


def _options(question: Asked) -> list[tuple[int, bytes]]:
    """None by BOOTP, whose servers tell all that they have."""
    if isinstance(question, BootpRequest):
        return []
    calls_itself = (USER_CLASS if question.client == "iPXE" else VENDOR, question.client.encode())
    who = [calls_itself]
    if question.architecture is not None:
        who.append((ARCHITECTURE, struct.pack("!H", question.architecture)))
    wanted = (ASKED_FOR, bytes((MASK, ROUTER, ROOT_PATH, BOOT_SERVER, BOOT_FILE)))
    if isinstance(question, DhcpDiscover):
        return [(KIND, bytes((DISCOVER,))), *who, wanted]
    return [
        (KIND, bytes((REQUEST,))),
        *who,
        (WANTED, IPv4Address(question.address).packed),
        (SERVER, IPv4Address(question.server).packed),
        wanted,
    ]


def answer(found: Dhcp, ask: int) -> OfDhcp | None:
    """server: whose boot file it is, which is mostly who answers."""
    answers = found.options.get(SERVER, b"")
    said_by = str(IPv4Address(answers[:4])) if len(answers) >= 4 else found.server
    boots_from = said_by if found.server == "0.0.0.0" else found.server
    match found.message:
        case "offer":
            return DhcpOffer(ask, found.address, said_by, found.file)
        case "ack":
            return DhcpAck(ask, found.address, boots_from, found.file, found.text(ROOT_PATH))
        case "nak":
            return DhcpNak(ask)
        case "bootreply":
            return BootpReply(ask, found.address, found.server, found.file, found.text(ROOT_PATH))
    return None
