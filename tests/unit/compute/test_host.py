from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from provisioner.core.model import Node
from provisioner.drivers.fake import FakeRack
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.store import Tx
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld


class NotingRack(FakeRack):
    """Says in which order it was told of nodes."""

    def __init__(self, world: FakeWorld) -> None:
        super().__init__(lambda event: None, world.ids)
        self.told: list[str] = []

    def publish(self, entry: BootEntry) -> None:
        self.told.append(f"publish {entry.node_id}")
        super().publish(entry)

    def withdraw(self, node_id: str) -> None:
        self.told.append(f"withdraw {node_id}")
        super().withdraw(node_id)


def test_nodes_are_published_and_withdrawn_in_one_order_whatever_the_hash_seed(tmp_path: Path) -> None:
    """The order of a set of names differs from process to process: 12! ways to be wrong."""

    async def story() -> None:
        world = FakeWorld(tmp_path)
        rack = world.rack = NotingRack(world)
        ids = [f"node-{number:02}" for number in range(1, 13)]
        nodes = [records.node(id=id, name=f"n-{id}", owner=None) for id in ids]
        await world.store.transact(lambda tx: tx.insert(*reversed(nodes)))

        def remove(tx: Tx) -> None:
            for id in reversed(ids):
                tx.delete(Node, id)
            tx.notify("work")

        world.start()
        try:
            await _until(lambda: len(rack.told) == 12)
            await world.store.transact(remove)
            await _until(lambda: len(rack.told) == 24)
        finally:
            await world.die()
        assert rack.told == [*(f"publish {id}" for id in ids), *(f"withdraw {id}" for id in ids)]

    asyncio.run(story())


async def _until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not there():
            await asyncio.sleep(0.001)
