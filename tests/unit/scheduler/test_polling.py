"""Wake-ups are hints: requests are placed without any."""

from __future__ import annotations

import asyncio

import pytest

from provisioner.core.model import Instance
from provisioner.protocols.store import Store
from provisioner.scheduler.scheduler import Scheduler
from tests.unit.fakes import CountingIds, DeafStore, JumpingClock
from tests.unit.records import image, instance, node

POLL_S = 2.0
LOOKS = 3
"""The one that is under way when it is asked, the next one, and the pauses to gather what comes together."""


async def has_a_node(store: Store) -> bool:
    found = await store.transact(lambda tx: tx.get(Instance, "instance-1"))
    return found is not None and found.node_id is not None


@pytest.mark.parametrize("topic", ["instances", "offers"])
def test_a_request_is_placed_by_polling_when_its_wake_up_is_lost(topic: str) -> None:
    """topic: what comes last, a request or the node for it."""
    clock = JumpingClock()
    store = DeafStore(clock)
    first, last = node(), instance()
    if topic == "offers":
        first, last = last, first

    async def story() -> None:
        await store.transact(lambda tx: tx.insert(image(), first))
        scheduling = asyncio.create_task(Scheduler(store, clock, CountingIds(), POLL_S).run())
        while not store.waits_s:
            await asyncio.sleep(0)
        await store.transact(lambda tx: (tx.insert(last), tx.notify(topic)))
        end_s = clock.now_s + LOOKS * POLL_S
        while not await has_a_node(store):
            assert clock.now_s <= end_s, "nobody has looked"
            await asyncio.sleep(0)
        assert max(store.waits_s) <= POLL_S
        scheduling.cancel()

    asyncio.run(story())
