"""What `Store.watch` promises."""

from __future__ import annotations

import asyncio

import pytest

from provisioner.core.model import Flavor
from provisioner.protocols.store import Store, Tx
from tests.contract.store.conftest import Stores
from tests.contract.store.records import flavor

SOON_S = 10.0  # far more than a wake-up takes
NOT_S = 0.05  # long enough for one that is already on its way


async def listening(stores: Stores, store: Store) -> None:
    """What hears of other processes wakes everybody once, when it begins: they may have missed something."""
    watch = store.watch("listening")
    if stores.kind == "postgresql":
        assert await watch.wait(SOON_S)
    watch.close()


def test_a_watcher_wakes_when_its_topic_is_notified_and_finds_what_was_stored(stores: Stores) -> None:
    def work(tx: Tx) -> None:
        tx.notify("instances", "node:1")
        tx.insert(flavor("a"))

    async def story(store: Store) -> None:
        await listening(stores, store)
        watch = store.watch("nodes", "node:1")
        waiting = asyncio.create_task(watch.wait(SOON_S))
        await asyncio.sleep(0)
        await store.transact(work)
        assert await waiting
        assert await store.transact(lambda tx: tx.count(Flavor)) == 1

    stores.play(story)


def test_what_was_notified_between_two_waits_is_not_missed_and_told_once(stores: Stores) -> None:
    async def story(store: Store) -> None:
        await listening(stores, store)
        watch = store.watch("nodes")
        await store.transact(lambda tx: tx.notify("nodes"))
        await store.transact(lambda tx: tx.notify("nodes"))
        assert await watch.wait(SOON_S)
        assert not await watch.wait(NOT_S)

    stores.play(story)


def test_other_topics_and_failed_transactions_wake_nobody(stores: Stores) -> None:
    def fail(tx: Tx) -> None:
        tx.notify("node:1")
        raise LookupError

    async def story(store: Store) -> None:
        await listening(stores, store)
        watch = store.watch("node:1")
        await store.transact(lambda tx: tx.notify("node:10", "node", "nodes"))
        with pytest.raises(LookupError):
            await store.transact(fail)
        assert not await watch.wait(NOT_S)

    stores.play(story)


def test_every_watcher_of_a_topic_wakes(stores: Stores) -> None:
    async def story(store: Store) -> list[bool]:
        await listening(stores, store)
        watches = [store.watch("images") for _ in range(5)]
        await store.transact(lambda tx: tx.notify("images"))
        return [await watch.wait(SOON_S) for watch in watches]

    assert stores.play(story) == [True] * 5


def test_closing_a_watch_lets_go_of_who_waits(stores: Stores) -> None:
    async def story(store: Store) -> None:
        await listening(stores, store)
        watch = store.watch("images")
        waiting = asyncio.create_task(watch.wait(SOON_S))
        await asyncio.sleep(0)
        watch.close()
        watch.close()
        assert not await waiting
        await store.transact(lambda tx: tx.notify("images"))
        assert not await watch.wait(SOON_S)

    stores.play(story)


def test_watchers_wake_in_the_order_in_which_they_began_to_watch(stores: Stores) -> None:
    """So that a story plays the same in another process: the order of a set would come from addresses."""

    async def story(store: Store) -> None:
        await listening(stores, store)
        woken: list[int] = []

        async def wait(number: int) -> None:
            if await watches[number].wait(SOON_S):
                woken.append(number)

        watches = [store.watch("nodes") for _ in range(20)]
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(wait(number))
            await asyncio.sleep(0)
            await store.transact(lambda tx: tx.notify("nodes"))
        assert woken == list(range(20))

    stores.play(story)
