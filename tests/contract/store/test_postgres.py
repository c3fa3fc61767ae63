"""What PostgreSQL has to keep besides the contract: several hosts at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy.util import await_only

from provisioner.core.errors import InvalidInput
from provisioner.core.model import Flavor, Node, TimelineEvent
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Store, Tx
from provisioner.store import postgres_store
from provisioner.store.postgres import SESSION, Postgres
from tests.contract.store.conftest import IDLE, PostgresDatabases
from tests.contract.store.hosts import increment, play
from tests.contract.store.records import event, flavor, node

pytestmark = pytest.mark.wire


def test_who_pages_by_number_misses_none_of_a_transaction_that_ends_later(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given up by the server, the slow one would be run again under a later number.
    monkeypatch.setitem(SESSION, IDLE, "60s")
    monkeypatch.setattr(postgres_store, "SETTLE_S", 60.0)
    url = postgres.url()
    written, may_end = threading.Event(), threading.Event()

    def slowly(tx: Tx) -> None:
        """Given the first number, and stored after the second one."""
        tx.insert(event(name="first"))
        written.set()
        assert may_end.wait(60)

    async def write_slowly(store: Store) -> list[str]:
        await store.transact(slowly)
        return []

    async def page(store: Store) -> list[str]:
        await asyncio.to_thread(written.wait, 60)
        await store.transact(lambda tx: tx.insert(event(name="second")))
        stored = await store.transact(lambda tx: tx.find(TimelineEvent))
        assert [one.name for one in stored] == ["second"], "they are not in order: else this proves nothing"
        settling = asyncio.create_task(store.settled(TimelineEvent))
        for _ in range(5):  # in turn with its looks
            await store.transact(lambda tx: tx.now())
        assert not settling.done()
        may_end.set()
        settled = await settling
        found = await store.transact(lambda tx: tx.find(TimelineEvent))
        return [one.name for one in found if one.id <= settled]

    with ThreadPoolExecutor(1) as other:
        slow = other.submit(play, url, write_slowly)
        try:
            (found,) = play(url, page)
        finally:
            may_end.set()
        slow.result(60)
    assert found == ["first", "second"]


def test_who_pages_by_number_is_told_of_none_after_one_that_is_still_being_written(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "SETTLE_S", 0.05)
    monkeypatch.setitem(SESSION, IDLE, "60s")
    url = postgres.url()
    written, may_end = threading.Event(), threading.Event()

    def slowly(tx: Tx) -> None:
        tx.insert(event(name="second"))
        written.set()
        assert may_end.wait(60)

    async def write_slowly(store: Store) -> list[str]:
        await store.transact(slowly)
        return []

    async def page(store: Store) -> list[str]:
        await store.transact(lambda tx: tx.insert(event(name="first")))
        may_begin.set()
        await asyncio.to_thread(written.wait, 60)
        await store.transact(lambda tx: tx.insert(event(name="third")))
        settled = await store.settled(TimelineEvent)
        found = await store.transact(lambda tx: tx.find(TimelineEvent))
        return [one.name for one in found if one.id <= settled]

    may_begin = threading.Event()
    with ThreadPoolExecutor(1) as other:
        slow = other.submit(lambda: may_begin.wait(60) and play(url, write_slowly))
        try:
            (found,) = play(url, page)
        finally:
            may_begin.set()
            may_end.set()
        slow.result(60)
    assert found == ["first"]


def test_no_update_is_lost_between_hosts(postgres: PostgresDatabases) -> None:
    url = postgres.url()
    play(url, lambda store: store.transact(lambda tx: tx.insert(node("a"))))

    async def story(store: Store) -> list[int]:
        return [await store.transact(increment) for _ in range(50)]

    seen = [number for found in play(url, story, story, story) for number in found]
    assert sorted(seen) == list(range(150))


def test_who_has_to_be_first_does_not_wait_for_the_end_of_a_group_of_a_server_that_is_far(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "GROUP_S", 0.0)  # each of its functions takes that long
    monkeypatch.setitem(SESSION, IDLE, "60s")  # what the server gives up is run again
    done: list[int] = []

    async def story(store: Store) -> int:
        urgent: list[asyncio.Task[None]] = []

        def insert(tx: Tx, number: int) -> None:
            tx.insert(flavor(f"{number}"))
            done.append(number)
            if number == 3:
                first = store.transact_first(lambda tx: done.append(-1))
                urgent.append(asyncio.get_running_loop().create_task(first))
                # The driver lets it begin only after 5 ms of a server that is near.
                await_only(asyncio.sleep(0))

        crowd = (store.transact(lambda tx, n=n: insert(tx, n)) for n in range(20))  # type: ignore[misc]
        await asyncio.gather(*crowd)
        await asyncio.gather(*urgent)
        return await store.transact(lambda tx: tx.count(Flavor))

    assert play(postgres.url(), story) == [20]
    assert sorted(done) == [-1, *range(20)]
    assert done.index(-1) == 4, "after others that came with number 3"


def test_what_two_hosts_read_and_write_crosswise_is_as_if_one_came_first(postgres: PostgresDatabases) -> None:
    """Write skew: each sees that the other's record is missing, and adds its own. One must see it."""
    url = postgres.url()

    def adder(own: str, other: str) -> Callable[[Store], Awaitable[list[bool]]]:
        async def story(store: Store) -> list[bool]:
            def add(tx: Tx, number: int) -> bool:
                alone = not tx.find(Flavor, where={"name": f"{other}{number}"})
                tx.insert(flavor(f"{own}{number}"))
                return alone

            return [await store.transact(lambda tx, n=n: add(tx, n)) for n in range(40)]

        return story

    left, right = play(url, adder("a", "b"), adder("b", "a"))
    assert not any(first and second for first, second in zip(left, right, strict=True))


def test_a_long_transaction_comes_to_its_end_among_many_short_ones(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a takeover does while others work: it reads what they write, and they write in what it reads."""
    monkeypatch.setattr(postgres_store, "AGAIN_FOR_S", 20.0)
    url = postgres.url()
    dead = [f"dead-{number}" for number in range(40)]
    busy = [f"busy-{number}" for number in range(40)]
    nodes = [node(id, owner=id.partition("-")[0]) for id in (*dead, *busy)]
    play(url, lambda store: store.transact(lambda tx: tx.insert(*nodes)))
    begun, ended = threading.Event(), threading.Event()
    written = tries = 0

    def take_over(tx: Tx) -> int:
        nonlocal tries
        tries += 1
        tx.count(Node, where={"owner": "busy"})
        if tries <= postgres_store.ALONE_AFTER:
            least, end_s = written + len(busy) // 2, time.monotonic() + 30
            while written < least:
                assert time.monotonic() < end_s
                time.sleep(0.001)
        else:
            time.sleep(0.2)  # in which others would write, did they not wait
        return tx.update_all(Node, {f"id-{id}": {"owner": "busy", "fence": 9} for id in dead})

    async def work(store: Store) -> None:
        """Of another host, and a renewal of this one's lease."""
        nonlocal written
        while not ended.is_set():
            id = f"id-{busy[written % len(busy)]}"
            state = ProvisionState.DEPLOYING if written % 2 else ProvisionState.AVAILABLE
            await store.transact(lambda tx, id=id, state=state: tx.update(Node, id, {"state": state}))  # type: ignore[misc]
            written += 1
            begun.set()

    async def wait_and_take_over(store: Store) -> int:
        await asyncio.to_thread(begun.wait, 30)
        return await store.transact(take_over)

    with ThreadPoolExecutor(1) as other:
        working = other.submit(play, url, work)
        try:
            assert play(url, wait_and_take_over) == [len(dead)]
        finally:
            ended.set()
        working.result(60)


def test_a_watcher_on_one_host_wakes_by_what_another_stored(postgres: PostgresDatabases) -> None:
    url = postgres.url()
    listening = asyncio.Event()

    async def watcher(store: Store) -> bool:
        watch = store.watch("nodes")
        assert await watch.wait(10), "it listens from now on, and may have missed something before"
        listening.set()
        return await watch.wait(10)

    async def writer(store: Store) -> bool:
        await listening.wait()
        await store.transact(lambda tx: tx.notify("nodes"))
        return True

    assert play(url, watcher, writer) == [True, True]


def test_what_is_stored_between_a_first_look_and_listening_is_not_missed(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, connect = postgres.url(), Postgres.connect
    looked, stored = asyncio.Event(), asyncio.Event()

    async def connect_late(database: Postgres) -> psycopg.AsyncConnection[tuple[object, ...]]:
        await stored.wait()
        return await connect(database)

    monkeypatch.setattr(Postgres, "connect", connect_late)

    async def watcher(store: Store) -> bool:
        watch = store.watch("nodes")
        assert await store.transact(lambda tx: tx.count(Node)) == 0
        looked.set()
        return await watch.wait(10)

    async def writer(store: Store) -> bool:
        await looked.wait()

        def add(tx: Tx) -> None:
            tx.insert(node("a"))
            tx.notify("nodes")

        await store.transact(add)
        stored.set()
        return True

    assert play(url, watcher, writer) == [True, True]


def test_text_that_postgresql_cannot_hold_is_the_callers_fault(postgres: PostgresDatabases) -> None:
    async def story(store: Store) -> int:
        with pytest.raises(InvalidInput, match="NUL"):
            await store.transact(lambda tx: tx.insert(flavor("a\0b")))
        return await store.transact(lambda tx: tx.count(Flavor))

    assert play(postgres.url(), story) == [0]
