"""Follows transfers on the provisioning network from outside: who asked for which file, who got all of it,
and whose it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bmsim.sandbox.agent_commands import AgentCommands
from bmsim.sandbox.disk_sessions import DiskSessions
from bmsim.sandbox.flows import remember
from bmsim.sandbox.frames import (
    AGENT_PORT,
    DHCP_PORTS,
    HTTP_PORT,
    TCP,
    TFTP_PORT,
    Datagram,
    dhcp,
)

Note = Callable[..., None]
"""note(node, device, command, sender, result="ok", **args)"""

READ, DATA, TFTP_ACK, ERROR, OACK = 1, 3, 4, 5, 6  # RFC 1350 §5, RFC 2347
DEFAULT_BLOCK_BYTES = 512

TOKEN = re.compile(r"[0-9A-Za-z_-]{20,}")
FOLDER = re.compile(rf"({TOKEN.pattern})/")
IN_SCRIPT = re.compile(rb"token=(" + TOKEN.pattern.encode() + rb")")
HEAD_BYTES = 4096
"""What of a file that is sent by TFTP is read for a token: a boot loader's script begins with it."""


@dataclass(slots=True)
class _Tftp:
    file: str
    block_bytes: int = DEFAULT_BLOCK_BYTES
    last_block: int | None = None
    size_bytes: int = 0
    highest: int = 0
    head: bytes = b""


@dataclass(slots=True)
class _Http:
    """Of one connection: what was asked and not yet told. path: with its token. end: the sequence number
    after the answer."""

    file: str
    path: str
    end: int | None = None
    size_bytes: int = 0


@dataclass(slots=True)
class Transfers:
    """nodes: name by MAC address. Everything else that is on the network is nobody's business."""

    nodes: Mapping[str, str]
    note: Note
    _clients: dict[str, str] = field(default_factory=dict)
    _tftp: dict[tuple[str, int], _Tftp] = field(default_factory=dict)
    _http: dict[tuple[str, int], _Http] = field(default_factory=dict)
    _named_to: dict[str, str] = field(default_factory=dict)  # a secret → the node that it was named to first
    _agents: AgentCommands = field(init=False)
    _disks: DiskSessions = field(init=False)

    def __post_init__(self) -> None:
        self._agents = AgentCommands(self.nodes, self.note)
        self._disks = DiskSessions(self.nodes, self.note)

    def see(self, packet: Datagram) -> None:
        """One packet, in the order in which they pass."""
        if packet.protocol == TCP:
            if HTTP_PORT in (packet.source_port, packet.target_port):
                self._see_http(packet)
            elif AGENT_PORT in (packet.source_port, packet.target_port):
                self._agents.see(packet)
            else:
                self._disks.see(packet)
        elif packet.source_port in DHCP_PORTS and packet.target_port in DHCP_PORTS:
            self._see_dhcp(packet)
        elif packet.target_port == TFTP_PORT:
            self._see_tftp_request(packet)
        else:
            self._see_tftp(packet)

    def _meant_for(self, node: str, path: str, head: bytes = b"") -> dict[str, str]:
        """Whose a file is: the first node that its token was named to, as its folder or in its head, be it by
        DHCP. Empty where it has none."""
        token = FOLDER.search(path) or IN_SCRIPT.search(head)
        if token is None:
            return {}
        key = token[1] if isinstance(token[1], str) else token[1].decode()
        if key not in self._named_to:
            remember(self._named_to, key, node)
        return {"offered_to": self._named_to[key]}

    # --- DHCP -----------------------------------------------------------------------------------

    def _see_dhcp(self, packet: Datagram) -> None:
        found = dhcp(packet.payload)
        node = self.nodes.get(found.mac) if found is not None else None
        if found is None or node is None:
            return
        if found.message in ("discover", "bootrequest"):
            self._disks.begin_anew(node)
        if found.message in ("discover", "request", "inform", "bootrequest"):
            self._clients[node] = found.client
            args: dict[str, Any] = {"client": found.client, "arch": found.architecture}
        else:
            # A server needn't repeat what the client calls itself.
            args = {"client": self._clients.get(node, ""), "address": found.address, "file": found.file}
            self._meant_for(node, found.file)
        exchange = found.transaction.hex()
        self.note(node, "dhcp", found.message, packet.sender, mac=found.mac, exchange=exchange, **args)

    # --- TFTP -----------------------------------------------------------------------------------

    def _see_tftp_request(self, packet: Datagram) -> None:
        node = self.nodes.get(packet.from_mac)
        words = packet.payload[2:].split(b"\0")
        if node is None or int.from_bytes(packet.payload[:2], "big") != READ or len(words) < 3:
            return
        file = words[0].decode("utf-8", "backslashreplace")
        key = (packet.from_mac, packet.source_port)
        if key not in self._tftp:  # else it is the same one, sent again
            self.note(node, "tftp", "read", packet.sender, file=file)
        remember(self._tftp, key, _Tftp(file))

    def _see_tftp(self, packet: Datagram) -> None:
        to_node = (packet.to_mac, packet.target_port)
        from_node = (packet.from_mac, packet.source_port)
        kind, block = int.from_bytes(packet.payload[:2], "big"), int.from_bytes(packet.payload[2:4], "big")
        if transfer := self._tftp.get(to_node):
            self._served(transfer, kind, block, packet)
            if kind == ERROR:
                del self._tftp[to_node]
        elif transfer := self._tftp.get(from_node):
            if kind == TFTP_ACK and block == transfer.last_block:
                node = self.nodes[packet.from_mac]
                server = f"{packet.target}:{TFTP_PORT}"
                whose = self._meant_for(node, transfer.file, transfer.head)
                self.note(
                    node, "tftp", "sent", server, file=transfer.file, bytes=transfer.size_bytes, **whose
                )
                del self._tftp[from_node]
            elif kind == ERROR:  # firmware asks for the size, and hangs up
                del self._tftp[from_node]

    def _served(self, transfer: _Tftp, kind: int, block: int, packet: Datagram) -> None:
        if kind == OACK:
            words = packet.payload[2:].lower().split(b"\0")
            options = dict(zip(words[::2], words[1::2], strict=False))
            if (asked := options.get(b"blksize", b"")).isdigit():
                transfer.block_bytes = int(asked)
        elif kind == DATA:
            if block == (transfer.highest + 1) & 0xFFFF:  # not one that is sent again
                transfer.highest = block
                if transfer.size_bytes < HEAD_BYTES:
                    transfer.head += packet.payload[4:]
                transfer.size_bytes += len(packet.payload) - 4
            if len(packet.payload) - 4 < transfer.block_bytes:
                transfer.last_block = block
        elif kind == ERROR:
            why = packet.payload[4:].partition(b"\0")[0].decode("utf-8", "backslashreplace")
            node = self.nodes[packet.to_mac]
            self.note(
                node,
                "tftp",
                "refused",
                f"{packet.source}:{TFTP_PORT}",
                f"{block} {why}",
                file=transfer.file,
            )

    # --- HTTP -----------------------------------------------------------------------------------

    def _see_http(self, packet: Datagram) -> None:
        if packet.target_port == HTTP_PORT and packet.from_mac in self.nodes:
            self._see_client(packet, self.nodes[packet.from_mac])
        elif packet.source_port == HTTP_PORT and packet.to_mac in self.nodes:
            flow = self._http.get((packet.to_mac, packet.target_port))
            if flow is not None and flow.end is None and packet.payload.startswith(b"HTTP/1."):
                self._see_answer(flow, packet)

    def _see_client(self, packet: Datagram, node: str) -> None:
        key = (packet.from_mac, packet.source_port)
        flow = self._http.get(key)
        if flow is not None and flow.end is not None and (packet.ack - flow.end) & 0xFFFFFFFF < 1 << 31:
            server = f"{packet.target}:{HTTP_PORT}"
            whose = self._meant_for(node, flow.path)
            self.note(node, "http", "sent", server, file=flow.file, bytes=flow.size_bytes, **whose)
            del self._http[key]
            flow = None
        method, _, rest = packet.payload[:1024].partition(b" /")
        if method in (b"GET", b"HEAD", b"POST", b"PUT") and b" HTTP/1." in packet.payload and flow is None:
            path = rest.partition(b" ")[0].decode("ascii", "backslashreplace")
            flow = _Http(without_secrets(path), path)
            remember(self._http, key, flow)
            self.note(node, "http", method.decode().lower(), packet.sender, file=flow.file)

    def _see_answer(self, flow: _Http, packet: Datagram) -> None:
        head, _, _ = packet.payload.partition(b"\r\n\r\n")
        status = head[9:12].decode("ascii", "replace")
        if not status.startswith("2"):
            node = self.nodes[packet.to_mac]
            self.note(node, "http", "refused", packet.sender, status, file=flow.file)
            del self._http[(packet.to_mac, packet.target_port)]
            return
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        flow.size_bytes = int(length[1]) if length else 0
        flow.end = (packet.seq + len(head) + 4 + flow.size_bytes) & 0xFFFFFFFF


def without_secrets(path: str) -> str:
    """What a URL is about: /boot/TOKEN/kernel → kernel, /phone-home/TOKEN → phone-home."""
    words = [word for word in path.partition("?")[0].split("/") if word]
    if not words:
        return "/"
    name = words[-1]
    if len(words) == 2 or TOKEN.search(name):
        name = words[0]
    return TOKEN.sub("TOKEN", name)
