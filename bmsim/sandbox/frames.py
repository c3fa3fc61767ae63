"""What an Ethernet frame on the provisioning network says, as far as netbooting and deploying go."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

HTTP_PORT, AGENT_PORT, ISCSI_PORT = 8080, 9999, 3260
DHCP_PORTS, TFTP_PORT = (67, 68), 69

ETHERNET_BYTES = 14
IPV4, TCP, UDP = 0x0800, 6, 17

MAGIC_COOKIE = b"\x63\x82\x53\x63"  # RFC 2131 §3
DHCP_MESSAGES = {  # RFC 2132 §9.6
    1: "discover",
    2: "offer",
    3: "request",
    4: "decline",
    5: "ack",
    6: "nak",
    7: "release",
    8: "inform",
}


@dataclass(frozen=True, slots=True)
class Datagram:
    """An IPv4 packet of UDP or TCP. flags, seq, ack: of TCP."""

    from_mac: str
    to_mac: str
    source: str
    target: str
    source_port: int
    target_port: int
    payload: bytes
    protocol: int = UDP
    flags: int = 0
    seq: int = 0
    ack: int = 0

    @property
    def sender(self) -> str:
        return f"{self.source}:{self.source_port}"


def datagram(frame: bytes) -> Datagram | None:
    """None: nothing of ours. A frame may be cut: then the payload is."""
    try:
        return _datagram(frame)
    except (struct.error, IndexError):
        return None


def _datagram(frame: bytes) -> Datagram | None:
    if int.from_bytes(frame[12:14], "big") != IPV4:
        return None
    header_bytes = (frame[14] & 0x0F) * 4
    (length,) = struct.unpack_from("!H", frame, 16)
    (fragment,) = struct.unpack_from("!H", frame, 20)
    protocol = frame[23]
    if fragment & 0x1FFF or protocol not in (TCP, UDP):
        return None
    start = ETHERNET_BYTES + header_bytes
    packet = frame[: ETHERNET_BYTES + length]  # without the padding of short frames
    source_port, target_port = struct.unpack_from("!HH", packet, start)
    seq = ack = flags = 0
    payload = packet[start + 8 :]
    if protocol == TCP:
        seq, ack, offset, flags = struct.unpack_from("!IIBB", packet, start + 4)
        payload = packet[start + (offset >> 4) * 4 :]
    return Datagram(
        from_mac=frame[6:12].hex(":"),
        to_mac=frame[0:6].hex(":"),
        source=str(IPv4Address(frame[26:30])),
        target=str(IPv4Address(frame[30:34])),
        source_port=source_port,
        target_port=target_port,
        payload=payload,
        protocol=protocol,
        flags=flags,
        seq=seq,
        ack=ack,
    )


BOOTP_MESSAGES = {1: "bootrequest", 2: "bootreply"}  # RFC 951 §3: op, of messages without a DHCP type


@dataclass(frozen=True, slots=True)
class Dhcp:
    """Or BOOTP, which is the same without option 53.

    client: "iPXE", or what else it calls itself in its user or vendor class (options 77 and 60).
    architecture: option 93 (RFC 4578 §2.1), None where it has none. file: what is to be booted.
    server: whose boot file it is (siaddr). options: all of them (RFC 2132), by number."""

    message: str
    mac: str
    transaction: bytes
    client: str
    architecture: int | None
    address: str
    file: str
    server: str = ""
    options: Mapping[int, bytes] = field(default_factory=dict)

    def text(self, option: int) -> str:
        return _text(self.options.get(option, b""))


def dhcp(payload: bytes) -> Dhcp | None:
    """None: neither DHCP nor BOOTP. RFC 2131 §2 gives the offsets."""
    if len(payload) < 240 or payload[236:240] != MAGIC_COOKIE:
        return None
    options = _options(payload[240:])
    if (kind := options.get(53)) is None:
        message = BOOTP_MESSAGES.get(payload[0])
    else:
        message = DHCP_MESSAGES.get(int.from_bytes(kind, "big"))
    if message is None:
        return None
    architecture = options.get(93)
    user, vendor = _text(options.get(77, b"")), _text(options.get(60, b""))
    return Dhcp(
        message=message,
        mac=payload[28:34].hex(":"),
        transaction=payload[4:8],
        client="iPXE" if "iPXE" in user else vendor,
        architecture=None if architecture is None else int.from_bytes(architecture[:2], "big"),
        address=str(IPv4Address(payload[16:20])),
        file=_text(options.get(67, b"") or payload[108:236]),
        server=str(IPv4Address(payload[20:24])),
        options=options,
    )


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position = 0
    while position + 1 < len(data) and data[position] != 255:
        if data[position] == 0:
            position += 1
            continue
        number, length = data[position], data[position + 1]
        found[number] = found.get(number, b"") + data[position + 2 : position + 2 + length]
        position += 2 + length
    return found


def _text(data: bytes) -> str:
    """Up to the first zero byte; what can't be printed, escaped."""
    return data.partition(b"\0")[0].decode("ascii", "backslashreplace")
