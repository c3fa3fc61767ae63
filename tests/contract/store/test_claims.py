"""However many schedulers place however many requests at once: each node is one request's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from provisioner.core.model import ImageState, Instance, Node, Port, TimelineEvent
from provisioner.core.states import InstanceState, PowerState, ProvisionState
from provisioner.protocols.store import Store
from provisioner.scheduler import scheduler as scheduling
from provisioner.scheduler.scheduler import Scheduler
from provisioner.services.system import RandomIds, SystemClock
from provisioner.store import open_store
from tests.contract.store.conftest import Stores
from tests.contract.store.records import AT, flavor, image, node

NODES = 60
MANY = 1000
SCHEDULERS = 3


def free_node(number: int, **changes: Any) -> Node:
    given = {"state": ProvisionState.AVAILABLE, "owner": f"h{number % 2}", "power_state": PowerState.OFF}
    return node(f"n{number:04}", **{**given, "memory_mib": 1024 * (1 + number % 3), **changes})


def request(number: int, **changes: Any) -> Instance:
    return Instance(
        **{
            "id": f"i{number:04}",
            "name": f"i{number}",
            "flavor": flavor("small"),
            "image_id": "id-tiny",
            "kernel_id": None,
            "ramdisk_id": None,
            "tenant": f"t{number % 7}",
            "created_at": AT,
            "updated_at": AT,
            **changes,
        }
    )


async def fill(store: Store, nodes: int) -> None:
    ports = [
        Port(id=f"mac-{number}", node_id=f"id-n{number:04}", address=f"a{number}") for number in range(nodes)
    ]
    rows = [free_node(number) for number in range(nodes)]
    await store.transact(lambda tx: tx.insert(image("tiny", state=ImageState.ACTIVE), *rows, *ports))


async def until_placed(scheduler: Scheduler, store: Store) -> None:
    """As `Scheduler.run` would, until nothing waits that hasn't been told why."""
    where = {"state": InstanceState.REQUESTED, "waiting_for": ""}
    while await store.transact(lambda tx: tx.count(Instance, where=where)):
        await scheduler.place_some()


def on_stores_of_their_own(
    stores: Stores, story: Callable[[list[Store]], Awaitable[None]], within_s: float = 60
) -> None:
    """One for each scheduler, as processes have them; the one in memory is one process's."""
    url = stores.url()

    async def main() -> None:
        opened = [open_store(url, wall_clock=stores.clock)]
        opened += [
            opened[0] if stores.kind == "memory" else open_store(url, wall_clock=stores.clock)
            for _ in range(SCHEDULERS - 1)
        ]
        try:
            async with asyncio.timeout(within_s):
                await story(opened)
        finally:
            for store in opened:
                await store.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("batch", "nodes"),
    [(1, NODES), (8, NODES), pytest.param(scheduling.BATCH, MANY, marks=pytest.mark.exhaustive)],
)
def test_as_many_requests_as_nodes_at_once_get_one_each(
    stores: Stores, batch: int, nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "BATCH", batch)  # so that they are at it by turns

    async def story(opened: list[Store]) -> None:
        store = opened[0]
        await fill(store, nodes)
        schedulers = [Scheduler(one, SystemClock(), RandomIds()) for one in opened]
        asking = (store.transact(lambda tx, n=n: tx.insert(request(n))) for n in range(nodes))  # type: ignore[misc]
        await asyncio.gather(
            *asking, *(until_placed(one, own) for one, own in zip(schedulers, opened, strict=True))
        )
        for one, own in zip(schedulers, opened, strict=True):
            await until_placed(one, own)
        placed = await store.transact(lambda tx: tx.find(Instance, where={"state": InstanceState.BUILDING}))
        taken = await store.transact(lambda tx: tx.find(Node, where={"state": ProvisionState.DEPLOYING}))
        assert len(placed) == len(taken) == nodes
        assert {one.node_id for one in placed} == {one.id for one in taken}
        assert {one.instance_id: one.id for one in taken} == {one.id: one.node_id for one in placed}
        claims = await store.transact(lambda tx: tx.find(TimelineEvent, where={"name": "node.claimed"}))
        assert len(claims) == nodes
        assert all(one.address == f"a{int(str(one.node_id)[-4:])}" for one in placed)

    on_stores_of_their_own(stores, story, within_s=nodes)


def test_with_no_node_left_a_request_is_told_so_at_once(stores: Stores) -> None:
    async def story(opened: list[Store]) -> None:
        store = opened[0]
        await fill(store, 30)
        await store.transact(lambda tx: tx.insert(*(request(number) for number in range(31))))
        scheduler = Scheduler(store, SystemClock(), RandomIds())
        await until_placed(scheduler, store)
        (left,) = await store.transact(lambda tx: tx.find(Instance, where={"state": InstanceState.REQUESTED}))
        assert left.waiting_for == "no node fits: 30 × it is deploying"
        huge = flavor("huge", cpus=64)
        await store.transact(lambda tx: tx.insert(free_node(77), request(40, flavor=huge)))
        await until_placed(scheduler, store)
        await scheduler.place_some()
        told = await store.transact(lambda tx: tx.get(Instance, "i0040"))
        assert told is not None
        assert told.waiting_for == "no node fits: 31 × it is deploying"
        placed = await store.transact(lambda tx: tx.get(Node, "id-n0077"))
        assert placed is not None and placed.instance_id == left.id

    on_stores_of_their_own(stores, story)
