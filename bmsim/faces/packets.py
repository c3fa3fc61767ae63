"""Packets of IPMI over the LAN, by their headers (§13.6, §13.8)."""

from __future__ import annotations

from dataclasses import dataclass

RMCP_HEADER = b"\x06\x00\xff\x07"
"""RMCP 1.0, no sequence number, class IPMI."""

RMCP_PLUS = 0x06
HEADER_BYTES = 16

COMMAND, SOL, OPEN_SESSION, OPEN_SESSION_RESPONSE = 0x00, 0x01, 0x10, 0x11
RAKP_1, RAKP_3 = 0x12, 0x14
LOGIN = frozenset({RAKP_1, RAKP_3})

OPEN_SESSION_BYTES = 32
"""§13.17: tag, privilege, the client's session identifier, three algorithms."""


@dataclass(frozen=True, slots=True)
class Addressed:
    """kind: payload type; session: its number, 0 for packets outside of sessions; message: the payload."""

    kind: int
    session: int
    message: bytes


def addressed(packet: bytes) -> Addressed | None:
    """None for what isn't IPMI. Raises ValueError for what says so and isn't."""
    if len(packet) < 4 or packet[0] != RMCP_HEADER[0] or packet[2:4] != RMCP_HEADER[2:4]:
        return None
    if len(packet) < HEADER_BYTES:
        raise ValueError("too short for a header")
    if packet[4] != RMCP_PLUS:
        return Addressed(COMMAND, int.from_bytes(packet[9:13], "little"), packet[14:])
    kind, session = packet[5] & 0x3F, int.from_bytes(packet[6:10], "little")
    message = packet[HEADER_BYTES:][: int.from_bytes(packet[14:16], "little")]
    if kind == OPEN_SESSION and len(message) < OPEN_SESSION_BYTES:
        raise ValueError("too short a request for a session")
    if kind in LOGIN:
        if len(message) < 8:
            raise ValueError("too short a login message")
        session = int.from_bytes(message[4:8], "little")
    return Addressed(kind, session, message)


def outside_session(kind: int, message: bytes) -> bytes:
    """A packet without session, number or code."""
    return RMCP_HEADER + bytes((RMCP_PLUS, kind)) + bytes(8) + len(message).to_bytes(2, "little") + message
