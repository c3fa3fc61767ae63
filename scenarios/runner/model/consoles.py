"""Serial consoles, SSH servers and pings of the model, as a compute host sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from provisioner.core.model import Node
from scenarios.runner.model.wires import Link, Wires

BANNER = "SSH-2.0-OpenSSH_9.2p1"
CONNECT_TIMEOUT_S = 3.0
PING_S = 1.0


class ModelConsoles:
    """`provisioner.protocols.console.ConsoleBook`: what the machines print is at hand."""

    def __init__(self, printed: Callable[[str], str]) -> None:
        """printed: all that a node's console said, by the node's id."""
        self._printed = printed
        self._parts: dict[str, tuple[str | None, int]] = {}

    @asynccontextmanager
    async def recording(self, node: Node) -> AsyncIterator[None]:
        if self._parts.get(node.id, (None, 0))[0] != node.instance_id:
            self._parts[node.id] = node.instance_id, self.position(node.id)
        yield

    def position(self, node_id: str) -> int:
        return len(self._printed(node_id).encode())

    def text(self, node_id: str, *, of: str | None = None, since: int = 0, tail_bytes: int = 65536) -> str:
        whose, begins = self._parts.get(node_id, (None, 0))
        if of is None:
            begins = 0
        elif whose != of:
            return ""
        recorded = self._printed(node_id).encode()
        return recorded[max(since, begins, len(recorded) - tail_bytes) :].decode("utf-8", "replace")


class ModelPingProbe:
    """`provisioner.protocols.probe.PingProbe`. pings: whether somebody is up at an address."""

    def __init__(self, wires: Wires, link_to: Callable[[str], Link], pings: Callable[[str], bool]) -> None:
        self._wires = wires
        self._link_to = link_to
        self._pings = pings

    async def answers(self, address: str) -> bool:
        link = self._link_to(address)
        answer = await self._wires.ask(
            link, lambda: True if self._pings(address) else None, timeout_s=PING_S, resend_s=PING_S
        )
        return answer is not None


class ModelSshProbe:
    """`provisioner.protocols.probe.SshProbe`."""

    def __init__(
        self, wires: Wires, link_to: Callable[[str], Link], serves_ssh: Callable[[str], bool]
    ) -> None:
        self._wires = wires
        self._link_to = link_to
        self._serves_ssh = serves_ssh

    async def banner(self, address: str) -> str | None:
        link = self._link_to(address)
        there = self._wires.journey(link, True)
        if not there or not self._serves_ssh(address):
            # Nobody answers: the connection's time runs out.
            await asyncio.sleep(CONNECT_TIMEOUT_S)
            return None
        await asyncio.sleep(there[0])
        back = self._wires.journey(link, False)
        if not back:
            await asyncio.sleep(CONNECT_TIMEOUT_S)
            return None
        await asyncio.sleep(back[0])
        return BANNER
