"""Follows on the provisioning network what deploy agents are told: by HTTP, one request a connection."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bmsim.sandbox.flows import remember
from bmsim.sandbox.frames import AGENT_PORT, Datagram

GIVEN = re.compile(rb"PUT (/v1/commands/[^ ?]+) HTTP/1\.")
NAME = re.compile(rb'"name": *"([^"]{1,64})"')
HEAD_BYTES = 4096
"""What is read of a request: its name stands at the body's beginning, in a packet of its own or not."""


@dataclass(slots=True)
class _Request:
    """parts: by their sequence numbers, for they may be sent again."""

    path: bytes
    parts: dict[int, bytes] = field(default_factory=dict)

    @property
    def name(self) -> str:
        found = NAME.search(b"".join(self.parts[seq] for seq in sorted(self.parts)))
        return found[1].decode("ascii", "backslashreplace") if found is not None else ""


@dataclass(slots=True)
class AgentCommands:
    """nodes: name by MAC address. note: as of `Transfers`. A command that the agent took up is noted once,
    however often it is given, and by its name alone: its parameters are secrets. One that it refused is noted
    with the status."""

    nodes: Mapping[str, str]
    note: Callable[..., None]
    _requests: dict[tuple[str, int], _Request] = field(default_factory=dict)
    _known: dict[tuple[str, bytes], bool] = field(default_factory=dict)

    def see(self, packet: Datagram) -> None:
        """One of TCP, from or to the agent's port."""
        if packet.target_port == AGENT_PORT:
            self._see_request(packet)
        elif packet.source_port == AGENT_PORT and packet.from_mac in self.nodes:
            self._see_answer(packet)

    def _see_request(self, packet: Datagram) -> None:
        key = (packet.source, packet.source_port)
        if given := GIVEN.match(packet.payload):
            remember(self._requests, key, _Request(given[1]))
        request = self._requests.get(key)
        if request is not None and packet.payload and sum(map(len, request.parts.values())) < HEAD_BYTES:
            request.parts[packet.seq] = packet.payload

    def _see_answer(self, packet: Datagram) -> None:
        request = self._requests.get((packet.target, packet.target_port))
        if request is None or not packet.payload.startswith(b"HTTP/1."):
            return
        del self._requests[packet.target, packet.target_port]
        node, sender = self.nodes[packet.from_mac], f"{packet.target}:{packet.target_port}"
        status = packet.payload[9:12].decode("ascii", "replace")
        if not status.startswith("2"):
            self.note(node, "agent", "command", sender, f"refused: {status}", command=request.name)
        elif (node, request.path) not in self._known:
            remember(self._known, (node, request.path), True)
            self.note(node, "agent", "command", sender, command=request.name)
