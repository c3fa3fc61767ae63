"""Serial consoles, SSH servers and pings of the model, as a compute host sees them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from provisioner.core.model import Node
from scenarios.runner.model.wires import Link, Wires
from scenarios.runner.processes import Process, current

BANNER = "SSH-2.0-OpenSSH_9.2p1"
CONNECT_TIMEOUT_S = 3.0
PING_S = 1.0


class ConsoleFile:
    """What one host has recorded of one node: parts of all that the node's console said."""

    def __init__(self) -> None:
        self.whose: str | None = None
        self.part_begins = 0
        """Where in the file it is this instance's."""
        self._spans: list[tuple[int, int]] = []
        self._since: int | None = None

    def begin(self, instance_id: str | None, said: bytes) -> None:
        if self.whose != instance_id:
            self.whose, self.part_begins = instance_id, len(self.recorded(said))
        self._since = len(said)

    def stop(self, said: bytes) -> None:
        if self._since is not None:
            self._spans.append((self._since, len(said)))
            self._since = None

    def recorded(self, said: bytes) -> bytes:
        spans = [*self._spans, *(() if self._since is None else ((self._since, len(said)),))]
        return b"".join(said[begins:ends] for begins, ends in spans)


class ModelConsoles:
    """`provisioner.protocols.console.ConsoleBook` of one process."""

    def __init__(self, printed: Callable[[str], str], files: dict[str, ConsoleFile]) -> None:
        """printed: all that a node's console said, by the node's id. files: what this host has recorded of
        each of them, in this process and those before."""
        self._printed = printed
        self._files = files
        self._holders: Counter[str] = Counter()
        self._process: Process | None = None

    @asynccontextmanager
    async def recording(self, node: Node) -> AsyncIterator[None]:
        if self._process is None and (process := current()) is not None:
            self._process = process
            process.on_death(self._stop_all)
        file = self._files.setdefault(node.id, ConsoleFile())
        if not self._holders[node.id]:
            file.begin(node.instance_id, self._said(node.id))
        self._holders[node.id] += 1
        try:
            yield
        finally:
            self._holders[node.id] -= 1
            if not self._holders[node.id]:
                file.stop(self._said(node.id))

    def _stop_all(self) -> None:
        for node_id in self._holders:
            self._files[node_id].stop(self._said(node_id))

    def _said(self, node_id: str) -> bytes:
        return self._printed(node_id).encode()

    def position(self, node_id: str) -> int:
        return len(self._recorded(node_id))

    def _recorded(self, node_id: str) -> bytes:
        file = self._files.get(node_id)
        return file.recorded(self._said(node_id)) if file is not None else b""

    def text(self, node_id: str, *, of: str | None = None, since: int = 0, tail_bytes: int = 65536) -> str:
        file = self._files.get(node_id)
        if file is None or of not in (None, file.whose):
            return ""
        recorded, begins = self._recorded(node_id), 0 if of is None else file.part_begins
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
