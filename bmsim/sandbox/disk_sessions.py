"""Who is let in to the disk that a node offers by iSCSI, and who still is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bmsim.sandbox.flows import remember
from bmsim.sandbox.frames import ISCSI_PORT, Datagram

SYN, FIN, RST = 0x02, 0x01, 0x04  # RFC 9293 §3.1

LOGIN_RESPONSE = 0x23  # RFC 7143 §11.13
LOGIN_BYTES = 65536
"""A login is over before so much was sent; what looks like one later is data."""

Session = tuple[str, str, int]
"""Node, address and port of the initiator."""


@dataclass(slots=True)
class _Connection:
    """start: the target's first sequence number. let_in: its login has ended well."""

    start: int
    let_in: bool = False


class DiskSessions:
    """Told by `note` as `login` and `close` of initiators. beside: those of other addresses whose sessions to
    the node were open when this one was let in, so that both can write."""

    def __init__(self, nodes: Mapping[str, str], note: Callable[..., None]) -> None:
        """nodes: name by MAC address."""
        self._nodes = nodes
        self._note = note
        self._connections: dict[Session, _Connection] = {}

    def see(self, packet: Datagram) -> None:
        """The node is the target. An initiator that closes its session may have written what the target still
        has to; one that breaks it off may get no answer at all."""
        if packet.source_port == ISCSI_PORT:
            node, address, port = self._nodes.get(packet.from_mac), packet.target, packet.target_port
        else:
            node, address, port = self._nodes.get(packet.to_mac), packet.source, packet.source_port
        if node is None:
            return
        session = node, address, port
        if packet.source_port != ISCSI_PORT:
            if packet.flags & RST:
                self._close(session)
        elif packet.flags & (FIN | RST):
            self._close(session)
        elif packet.flags & SYN:
            remember(self._connections, session, _Connection(packet.seq))
        elif connection := self._connections.get(session):
            self._see_answer(session, connection, packet)

    def begin_anew(self, node: str) -> None:
        """It boots: its sessions ended without a word."""
        for session in [one for one in self._connections if one[0] == node]:
            del self._connections[session]

    def _close(self, session: Session) -> None:
        if self._connections.pop(session, None) is not None:
            self._note(session[0], "iscsi", "close", _initiator(session))

    def _see_answer(self, session: Session, connection: _Connection, packet: Datagram) -> None:
        if (
            len(packet.payload) < 48
            or packet.payload[0] & 0x3F != LOGIN_RESPONSE
            or (packet.seq - connection.start) & 0xFFFFFFFF >= LOGIN_BYTES
        ):
            return
        status, done = int.from_bytes(packet.payload[36:38], "big"), packet.payload[1] & 0x83 == 0x83
        initiator = _initiator(session)
        if status:
            self._note(session[0], "iscsi", "login", initiator, f"refused: 0x{status:04x}")
        elif done:  # on to the full feature phase
            connection.let_in = True
            others = self._others(session)
            self._note(session[0], "iscsi", "login", initiator, **({"beside": others} if others else {}))

    def _others(self, session: Session) -> list[str]:
        node, address, _ = session
        return [
            _initiator(one)
            for one, connection in self._connections.items()
            if connection.let_in and one[0] == node and one[1] != address
        ]


def _initiator(session: Session) -> str:
    _, address, port = session
    return f"{address}:{port}"
