"""Each node's firmware in its own dialect."""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.protocols.boot import BootEntry, BootPublisher


class BootDialects:
    """`protocols.boot.BootPublisher` by the boot driver that each node was enrolled with."""

    def __init__(self, publishers: Mapping[str, BootPublisher]) -> None:
        self._publishers = publishers

    async def publish(self, entry: BootEntry) -> None:
        await self._publishers[entry.boot_driver].publish(entry)

    async def withdraw(self, node_id: str) -> None:
        for publisher in self._publishers.values():
            await publisher.withdraw(node_id)
