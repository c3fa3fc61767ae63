"""What `Store.transact` promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar

import pytest

from provisioner.core.errors import Conflict, TransientError
from provisioner.core.model import Flavor, Node
from provisioner.protocols.store import Store, Tx
from tests.contract.store.conftest import Stores
from tests.contract.store.records import event, flavor, node


def test_a_transaction_returns_what_its_function_returns(stores: Stores) -> None:
    async def story(store: Store) -> str:
        return await store.transact(lambda tx: "answer")

    assert stores.play(story) == "answer"


def test_a_function_sees_the_context_of_its_caller(stores: Stores) -> None:
    who = ContextVar("who", default="nobody")

    async def caller(store: Store, name: str) -> str:
        who.set(name)
        return await store.transact(lambda tx: who.get())

    async def story(store: Store) -> list[str]:
        return list(await asyncio.gather(*(caller(store, name) for name in "abc")))

    assert stores.play(story) == ["a", "b", "c"]


def test_an_exception_undoes_its_transaction_and_comes_out_unchanged(stores: Stores) -> None:
    mine = ZeroDivisionError("mine")

    def work(tx: Tx) -> None:
        tx.insert(flavor("a"), event())
        assert tx.get(Flavor, "id-a") is not None
        raise mine

    async def story(store: Store) -> list[Flavor]:
        with pytest.raises(ZeroDivisionError) as raised:
            await store.transact(work)
        assert raised.value is mine
        return await store.transact(lambda tx: tx.find(Flavor))

    assert stores.play(story) == []


def test_every_kind_of_write_is_undone(stores: Stores) -> None:
    def spoil(tx: Tx) -> None:
        tx.update(Node, "id-a", {"name": "renamed", "owner": "h1", "cpus": 99})
        tx.update(Node, "id-a", {"name": "again"})
        tx.delete(Node, "id-b")
        tx.insert(node("c"), node("b", cpus=7))
        raise LookupError

    async def story(store: Store) -> None:
        before = [node("a"), node("b")]
        await store.transact(lambda tx: tx.insert(*before))
        with pytest.raises(LookupError):
            await store.transact(spoil)
        assert await store.transact(lambda tx: tx.find(Node)) == before
        assert await store.transact(lambda tx: tx.find(Node, where={"name": ("a", "renamed", "again")})) == [
            before[0]
        ]
        assert await store.transact(lambda tx: tx.count(Node, where={"owner": "h1"})) == 0

    stores.play(story)


def test_transactions_asked_for_at_once_fail_each_for_itself_and_run_in_order(stores: Stores) -> None:
    def work(number: int) -> Callable[[Tx], None]:
        def run(tx: Tx) -> None:
            tx.insert(event(text=str(number)))
            if number % 7 == 3:
                raise LookupError(number)
            if number % 7 == 5:
                tx.insert(flavor("taken"))

        return run

    async def story(store: Store) -> None:
        await store.transact(lambda tx: tx.insert(flavor("taken")))
        outcomes = await asyncio.gather(
            *(store.transact(work(number)) for number in range(100)), return_exceptions=True
        )
        for number, outcome in enumerate(outcomes):
            wanted = {3: LookupError, 5: Conflict}.get(number % 7, type(None))
            assert type(outcome) is wanted, f"{number} ended with {outcome!r}"
        kept = await store.transact(lambda tx: [found.text for found in tx.find(type(event()))])
        assert kept == [str(number) for number in range(100) if number % 7 not in (3, 5)]

    stores.play(story)


def test_no_update_is_lost_between_many_writers(stores: Stores) -> None:
    def increment(tx: Tx) -> None:
        found = tx.get(Node, "id-a")
        assert found is not None
        assert tx.update(Node, "id-a", {"fence": found.fence + 1}, expect={"fence": found.fence})

    async def story(store: Store) -> int:
        await store.transact(lambda tx: tx.insert(node("a")))
        async with asyncio.TaskGroup() as group:
            for _ in range(300):
                group.create_task(store.transact(increment))
        found = await store.transact(lambda tx: tx.get(Node, "id-a"))
        assert found is not None
        return found.fence

    assert stores.play(story) == 300


def test_more_callers_than_the_store_has_room_for_wait_their_turn(stores: Stores) -> None:
    async def story(store: Store) -> int:
        async with asyncio.TaskGroup() as group:
            for number in range(3_000):
                group.create_task(store.transact(lambda tx, number=number: tx.insert(flavor(f"f{number}"))))
        return await store.transact(lambda tx: tx.count(Flavor))

    assert stores.play(story) == 3_000


@pytest.mark.parametrize("turns", range(6))
def test_a_cancelled_caller_leaves_a_whole_transaction_or_none(stores: Stores, turns: int) -> None:
    async def story(store: Store) -> None:
        caller = asyncio.create_task(store.transact(lambda tx: tx.insert(flavor("a"), flavor("b"))))
        for _ in range(turns):
            await asyncio.sleep(0)
        caller.cancel()
        finished = False
        with suppress(asyncio.CancelledError):
            await caller
            finished = True
        found = await store.transact(lambda tx: tx.count(Flavor))
        assert found in ((2,) if finished else (0, 2))
        await store.transact(lambda tx: tx.insert(flavor("c")))  # the store works on

    stores.play(story)


def test_the_clock_stands_still_inside_a_transaction_and_goes_on_between_them(stores: Stores) -> None:
    async def story(store: Store) -> None:
        first, again = await store.transact(lambda tx: (tx.now(), tx.now()))
        later = await store.transact(lambda tx: tx.now())
        assert first == again < later
        assert first.utcoffset() is not None and not first.utcoffset()

    stores.play(story)


def test_closing_stores_what_was_accepted(stores: Stores) -> None:
    async def story(store: Store) -> list[object]:
        callers = [
            asyncio.create_task(store.transact(lambda tx, n=n: tx.insert(flavor(f"f{n}")) or n))
            for n in range(50)
        ]
        while not any(caller.done() for caller in callers):
            await asyncio.sleep(0)
        await store.close()
        return list(await asyncio.gather(*callers))

    assert stores.play(story) == list(range(50))


def test_a_closed_store_says_so_and_may_be_closed_again(stores: Stores) -> None:
    async def story(store: Store) -> None:
        await store.close()
        await store.close()
        with pytest.raises(TransientError, match="closed"):
            await store.transact(lambda tx: tx.now())

    stores.play(story)


CROWD = 2_000
"""More than are accepted at once."""


def test_who_has_to_be_first_waits_for_none_of_a_crowd(stores: Stores) -> None:
    """As a host's lease has to be renewed while thousands of its nodes' works write."""
    done: list[str] = []

    async def story(store: Store) -> None:
        crowd = [asyncio.create_task(store.transact(lambda tx: done.append("other"))) for _ in range(CROWD)]
        await asyncio.sleep(0)
        assert await store.transact_first(lambda tx: done.append("first")) is None
        await asyncio.gather(*crowd)

    stores.play(story)
    assert len(done) == CROWD + 1
    assert done.index("first") < 300 or stores.kind == "memory", "where nobody waits"


def test_what_is_given_up_before_it_has_begun_is_not_run(stores: Stores) -> None:
    """Whoever asks again, as for a lease, isn't to meet it in one transaction."""
    done: list[str] = []

    async def story(store: Store) -> None:
        other = asyncio.create_task(store.transact(lambda tx: done.append("other")))
        given_up = asyncio.create_task(store.transact_first(lambda tx: done.append("given up")))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        await store.transact_first(lambda tx: done.append("again"))
        await other

    stores.play(story)
    assert {"other", "again"} <= set(done)
    assert "given up" not in done or stores.kind == "memory", "where nobody waits"


def test_who_is_first_fails_alone(stores: Stores) -> None:
    def spoil(tx: Tx) -> None:
        tx.insert(flavor("a"))
        raise ZeroDivisionError

    async def story(store: Store) -> list[str]:
        other = asyncio.create_task(store.transact(lambda tx: tx.insert(flavor("b"))))
        await asyncio.sleep(0)
        with pytest.raises(ZeroDivisionError):
            await store.transact_first(spoil)
        await other
        return [one.id for one in await store.transact(lambda tx: tx.find(Flavor))]

    assert stores.play(story) == ["id-b"]
