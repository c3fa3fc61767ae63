from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from provisioner.compute.ledger import NodeLedger
from provisioner.compute.ownership import adopt_at_start, adopt_unowned
from provisioner.core.errors import LeaseLost
from provisioner.core.model import Host, Node, TimelineEvent
from provisioner.store.memory import MemoryStore
from tests.unit.fakes import JumpingClock
from tests.unit.records import NOW, node


def host(name: str, expires_in_s: float) -> Host:
    return Host(id=name, epoch=1, expires_at=NOW + timedelta(seconds=expires_in_s), renewed_at=NOW)


def world() -> MemoryStore:
    return MemoryStore(JumpingClock().wall)


def test_a_start_takes_the_nodes_of_nobody_of_the_dead_and_of_its_last_life_but_not_of_the_living() -> None:
    async def story() -> dict[str, tuple[str | None, int]]:
        store = world()
        await store.transact(
            lambda tx: tx.insert(
                host("dead", -1),
                host("alive", 60),
                host("me", 60),
                *(
                    node(id=f"id-{owner}", name=f"n-{owner}", owner=owner, fence=5)
                    for owner in ("dead", "alive", "me", None)
                ),
            )
        )
        await store.transact(lambda tx: adopt_at_start(tx, "me"))
        nodes = await store.transact(lambda tx: tx.find(Node))
        return {found.name: (found.owner, found.fence) for found in nodes}

    assert asyncio.run(story()) == {
        "n-dead": ("me", 6),
        "n-alive": ("alive", 5),
        "n-me": ("me", 6),
        "n-None": ("me", 6),
    }


def test_later_looks_take_new_nodes_and_leave_ours_alone() -> None:
    async def story() -> list[str]:
        store = world()
        await store.transact(
            lambda tx: tx.insert(
                host("me", 60), node(owner="me", fence=5), node(id="new", name="new", owner=None)
            )
        )
        return await store.transact(lambda tx: adopt_unowned(tx, "me"))

    assert asyncio.run(story()) == ["new"]


def test_an_older_fence_can_write_nothing() -> None:
    async def story() -> None:
        store = world()
        stale = node(fence=5)
        await store.transact(lambda tx: tx.insert(stale))
        ledger = NodeLedger(store, stale)
        await ledger.write({"power_state": "on"}, ledger.event("power.on"))
        await store.transact(lambda tx: tx.update(Node, stale.id, {"owner": "other", "fence": 6}))
        with pytest.raises(LeaseLost, match="fence 5 is not the newest"):
            await ledger.write({"power_state": "off"}, ledger.event("power.off"))
        events = await store.transact(lambda tx: tx.find(TimelineEvent))
        assert [event.name for event in events] == ["power.on"]

    asyncio.run(story())
