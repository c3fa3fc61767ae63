"""A second DHCP server on the wire, that nobody ordered: it answers at once, with what leads nowhere."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Network

from bmsim.sandbox.frames import IPV4, MAGIC_COOKIE, UDP, Dhcp

MAC = bytes.fromhex("02524956414c")
"""Its own; locally administered."""

LEASE_S = 600
BROADCAST = b"\xff" * 6
ANSWERS = {"discover": 2, "request": 5}  # RFC 2132 §9.6: offer, ack


def answer(asked: Dhcp, subnet: IPv4Network, address: str | None, boot_file: str) -> bytes | None:
    """The frame that it sends to a client that asks; None: it has nothing to say.

    address: what it gives; None: third from the subnet's end. Its own is the one after that.
    """
    kind = ANSWERS.get(asked.message)
    if kind is None:
        return None
    server = subnet[-2]
    offered = IPv4Address(address) if address is not None else subnet[-3]
    options = b"".join(
        bytes((number, len(value))) + value
        for number, value in (
            (53, bytes((kind,))),
            (54, server.packed),
            (51, LEASE_S.to_bytes(4, "big")),
            (1, subnet.netmask.packed),
            (60, b"PXEClient"),  # without it PXE firmware doesn't take it for a boot server's
            (66, str(server).encode()),
            (67, boot_file.encode()),
        )
    )
    header = struct.pack("!BBBBIHH4s4s4s4s", 2, 1, 6, 0, 0, 0, 0x8000, *(bytes(4),) * 4)
    header = header[:4] + asked.transaction + header[8:16] + offered.packed + server.packed + bytes(4)
    names = bytes.fromhex(asked.mac.replace(":", "")) + bytes(10) + bytes(64)
    payload = header + names + boot_file.encode()[:127].ljust(128, b"\0") + MAGIC_COOKIE + options + b"\xff"
    return _frame(payload, server)


def _frame(payload: bytes, server: IPv4Address) -> bytes:
    # A UDP checksum of 0 means that there is none (RFC 768).
    datagram = struct.pack("!HHHH", 67, 68, 8 + len(payload), 0) + payload
    fields = (0x45, 0, 20 + len(datagram), 0, 0, 64, UDP, 0, server.packed, b"\xff" * 4)
    header = struct.pack("!BBHHHBBH4s4s", *fields)
    checksum = _checksum(header)
    header = header[:10] + checksum.to_bytes(2, "big") + header[12:]
    return BROADCAST + MAC + IPV4.to_bytes(2, "big") + header + datagram


def _checksum(header: bytes) -> int:
    """RFC 791 §3.1."""
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
