"""Requests whose nodes failed them, in a place of many nodes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from provisioner.core.model import Failure, Instance, Node
from provisioner.core.states import InstanceState, ProvisionState
from provisioner.protocols.store import Store
from provisioner.scheduler import giving_up
from provisioner.scheduler.scheduler import ANEW_EVERY_S, Scheduler
from provisioner.services.system import RandomIds
from provisioner.store.memory import MemoryStore
from tests.unit.api.counting_store import CountingStore
from tests.unit.compute.fake_world import QuickClock
from tests.unit.fakes import JumpingClock
from tests.unit.records import NOW, flavor, image, instance, node

FEW = 30
"""Rows of the scheduler's own transaction, in which it reads the requests, their image and some nodes."""

BUSY = {"state": ProvisionState.ACTIVE, "instance_id": "another"}
SSD = {"disks": [{"rotational": False}], "nics": []}
FAILURE = Failure(code="x", message="it broke")


Played = tuple[CountingStore, list[Instance]]


def played(number: int, *, large: dict[str, Any] | None, requests: int = 1) -> Played:
    """What became of requests that one node failed, among so many that are too small, and one large one."""

    async def run() -> Played:
        kept: Store = MemoryStore(lambda: NOW)
        nodes = [node(id=f"id{n:04}", name=f"n{n:04}", memory_mib=64, **BUSY) for n in range(number)]
        if large is not None:
            nodes.append(node(id="last", name="last", **large))
        wish = flavor(extra_specs={"ssd": "true"})
        asked = [
            instance(id=f"i{n}", flavor=wish, failed_on=("gone",), failure=FAILURE) for n in range(requests)
        ]
        await kept.transact(lambda tx: tx.insert(image(), *nodes, *asked))
        store = CountingStore(kept)
        scheduler = Scheduler(store, QuickClock(), RandomIds())
        while await scheduler.place_some():
            pass
        return store, await kept.transact(lambda tx: tx.find(Instance))

    return asyncio.run(run())


@pytest.mark.parametrize("number", [100, 1000])
@pytest.mark.parametrize(
    ("large", "state"),
    [
        (None, InstanceState.ERROR),
        (BUSY | {"inventory": {"disks": [{"rotational": True}], "nics": []}}, InstanceState.ERROR),
        (BUSY | {"inventory": SSD}, InstanceState.REQUESTED),
    ],
    ids=["none", "another", "busy"],
)
def test_a_request_ends_with_its_failure_unless_a_node_could_carry_it_later(
    number: int, large: dict[str, Any] | None, state: InstanceState
) -> None:
    store, (asked,) = played(number, large=large)
    assert asked.state is state
    assert max(store.rows) <= giving_up.AT_ONCE + FEW
    assert max(store.whole) <= FEW


def test_nodes_are_looked_at_once_for_all_whose_nodes_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(giving_up, "DOUBTED_AT_ONCE", 3)
    _, asked = played(10, large=None, requests=7)
    assert {one.state for one in asked} == {InstanceState.ERROR}


@pytest.mark.parametrize("change", [None, {"maintenance": True}, {"reserved_for": "another"}])
def test_a_request_ends_when_the_only_node_goes_that_it_waited_for(change: dict[str, Any] | None) -> None:
    """Deleted, out of service, or kept for others."""

    async def run() -> None:
        store, clock = MemoryStore(lambda: NOW), JumpingClock()
        asked = instance(failed_on=("gone",), failure=FAILURE)
        await store.transact(lambda tx: tx.insert(image(), node(**BUSY), asked))
        scheduler = Scheduler(store, clock, RandomIds())

        async def state() -> InstanceState:
            while await scheduler.place_some():
                pass
            (found,) = await store.transact(lambda tx: tx.find(Instance))
            return found.state

        assert await state() is InstanceState.REQUESTED
        await store.transact(
            lambda tx: tx.delete(Node, "node-1") if change is None else tx.update(Node, "node-1", change)
        )
        clock.now_s += ANEW_EVERY_S
        assert await state() is InstanceState.ERROR

    asyncio.run(run())
