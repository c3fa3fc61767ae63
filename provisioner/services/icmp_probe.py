"""Looks whether a node answers a ping (RFC 792)."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

from provisioner.core.errors import PermanentError

DEADLINE_S = 1.0
ECHO_REPLY, ECHO = 0, 8


class IcmpProbe:
    """`protocols.probe.PingProbe` by a raw socket, which needs CAP_NET_RAW."""

    async def answers(self, address: str) -> bool:
        loop = asyncio.get_running_loop()
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
                raw.setblocking(False)
                raw.connect((address, 0))  # the kernel drops what anybody else sends
                wanted = os.urandom(4)  # identifier and sequence number
                await loop.sock_sendall(raw, echo(wanted))
                async with asyncio.timeout(DEADLINE_S):
                    while not is_reply(await loop.sock_recv(raw, 2048), wanted):
                        pass
        except PermissionError as error:
            raise PermanentError(
                f"ping {address}",
                answer=error.strerror or str(error),
                advice="Run the provisioner as root, or give it the capability CAP_NET_RAW",
            ) from error
        except (OSError, TimeoutError):
            return False
        return True


def echo(wanted: bytes) -> bytes:
    head = struct.pack("!BB", ECHO, 0)
    return head + _checksum(head + bytes(2) + wanted) + wanted


def is_reply(packet: bytes, wanted: bytes) -> bool:
    """packet: with its IP header."""
    message = packet[(packet[0] & 0x0F) * 4 :] if packet else b""
    return message[:1] == bytes((ECHO_REPLY,)) and message[4:8] == wanted


def _checksum(data: bytes) -> bytes:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return (~(total + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
