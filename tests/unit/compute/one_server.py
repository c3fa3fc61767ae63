"""What one of several hosts serves on the rack in memory."""

from __future__ import annotations

from provisioner.drivers.fake import FakePublisher, FakeRack
from provisioner.protocols.boot import BootEntry


class OneServer(FakePublisher):
    """Of one host. servers: by node, who serves it; overlaps: told of whoever serves what another does."""

    killed = False
    """A killed process withdraws nothing any more."""

    def __init__(self, rack: FakeRack, host: str, servers: dict[str, str], overlaps: list[str]) -> None:
        super().__init__(rack)
        self._host = host
        self._servers = servers
        self._overlaps = overlaps

    async def publish(self, entry: BootEntry) -> None:
        other = self._servers.get(entry.node_id, self._host)
        if other != self._host:
            self._overlaps.append(f"{self._host} serves {entry.node_id}, as {other} does")
        await super().publish(entry)
        self._servers[entry.node_id] = self._host

    async def withdraw(self, node_id: str, *, root: bool = True) -> None:
        if self._servers.get(node_id) == self._host and not self.killed:
            await super().withdraw(node_id, root=root)
            del self._servers[node_id]
