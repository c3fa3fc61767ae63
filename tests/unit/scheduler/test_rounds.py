"""Many requests, all of which ask for something else: nobody waits for the store because of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from provisioner.core.model import Failure, Instance, Node
from provisioner.core.states import InstanceState, ProvisionState
from provisioner.scheduler import rounds
from provisioner.scheduler.giving_up import DOUBTED_AT_ONCE
from provisioner.scheduler.reasons import FEW
from provisioner.scheduler.scheduler import BATCH, Scheduler
from provisioner.services.system import RandomIds
from provisioner.store.memory import MemoryStore
from tests.unit.api.counting_store import CountingStore
from tests.unit.fakes import JumpingClock
from tests.unit.records import NOW, flavor, image, instance, node

MANY = 4 * rounds.LOOKS
STATES = len(ProvisionState)


class Bench:
    def __init__(self) -> None:
        self.store = CountingStore(MemoryStore(lambda: NOW))
        self.clock = JumpingClock()
        self.scheduler = Scheduler(self.store, self.clock, RandomIds())

    async def insert(self, *records: Any) -> None:
        await self.store.transact(lambda tx: (tx.insert(*records), tx.notify("offers", "instances")))

    async def pass_by(self) -> int:
        """Until it has nothing more to do; the transactions that it took."""
        self.clear()
        while await self.scheduler.place_some():
            assert len(self.store.rows) < MANY
        return len(self.store.rows)

    def clear(self) -> None:
        for counted in (self.store.rows, self.store.whole, self.store.counts):
            counted.clear()

    async def instances(self, state: InstanceState) -> dict[str, Instance]:
        found = await self.store.transact(lambda tx: tx.find(Instance, where={"state": state}))
        return {one.id: one for one in found}


def play(story: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        bench = Bench()
        await bench.insert(image())
        await story(bench)

    asyncio.run(run())


def nodes(number: int, **changes: Any) -> list[Node]:
    return [node(id=f"n{n:03}", name=f"n{n:03}", **changes) for n in range(number)]


def wishes(number: int, **changes: Any) -> list[Instance]:
    """By age, each for a zone of its own."""
    later = [NOW + timedelta(seconds=n) for n in range(number)]
    return [
        instance(**{"id": f"i{n:04}", "zone": f"z{n}", "created_at": later[n], **changes})
        for n in range(number)
    ]


@pytest.mark.parametrize("number", [FEW, 2 * FEW], ids=["few nodes", "many nodes"])
@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("specs", [{}, {"ssd": "true"}], ids=["", "of their disks"])
def test_however_different_what_is_asked_for_no_transaction_reads_much(
    number: int, busy: bool, specs: dict[str, str]
) -> None:
    async def story(bench: Bench) -> None:
        at_work = {"state": ProvisionState.ACTIVE, "instance_id": "another"} if busy else {}
        await bench.insert(*nodes(number, **at_work))
        await bench.scheduler.place_some()  # learns of them
        await bench.insert(*wishes(MANY, flavor=flavor(extra_specs=specs)))
        for _ in range(2):
            assert await bench.pass_by() <= MANY / (rounds.LOOKS / 2 - rounds.FIRST) + 1
            # Requests, an image, and nodes as long as they are few.
            assert max(bench.store.whole) <= rounds.LOOKS + BATCH + 1 + FEW
            # Ids of all that wait, and at first what their turns depend upon; what is free; some nodes.
            assert max(bench.store.rows) <= 2 * MANY + number + FEW + 1 + max(bench.store.whole)
            # Of each state, idle ones that nobody can have, and those at work of the one owner.
            assert max(bench.store.counts) <= STATES + 2 + 1
        told = await bench.instances(InstanceState.REQUESTED)
        assert len(told) == MANY and all(
            one.waiting_for.startswith("no node fits: ") for one in told.values()
        )

    play(story)


def test_however_many_ask_for_the_same_some_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "TRIED", 50)

    async def story(bench: Bench) -> None:
        await bench.insert(*wishes(MANY, zone="z"))
        assert await bench.pass_by() >= MANY / 50
        assert max(bench.store.whole) <= 50 + BATCH + 1
        told = await bench.instances(InstanceState.REQUESTED)
        assert {one.waiting_for for one in told.values()} == {"no nodes are enrolled"}

    play(story)


def test_many_that_name_nodes_are_tried_over_several_transactions() -> None:
    async def story(bench: Bench) -> None:
        await bench.insert(*nodes(MANY, state=ProvisionState.CLEANING))
        crowd = wishes(MANY)
        await bench.insert(*(instance(id=one.id, node_name=f"n{n:03}") for n, one in enumerate(crowd)))
        await bench.pass_by()
        assert max(bench.store.whole) <= rounds.LOOKS + rounds.LOOKS + BATCH
        told = await bench.instances(InstanceState.REQUESTED)
        assert all(one.waiting_for == f"node n{int(id[1:]):03}: it is cleaning" for id, one in told.items())

    play(story)


def test_who_comes_last_is_served_however_many_before_it_find_nothing() -> None:
    async def story(bench: Bench) -> None:
        await bench.insert(*nodes(1), *wishes(MANY))
        await bench.insert(instance(id="last", created_at=NOW + timedelta(days=1)))
        await bench.pass_by()
        assert set(await bench.instances(InstanceState.BUILDING)) == {"last"}

    play(story)


def test_a_round_comes_to_its_end_though_somebody_is_served_all_the_time() -> None:
    async def story(bench: Bench) -> None:
        await bench.insert(*wishes(MANY))
        await bench.insert(instance(id="last", zone="late", created_at=NOW + timedelta(days=1)))
        await bench.insert(node(id="late", name="late", zone="late"))
        for number in range(MANY):
            # One that the next in turn gets, before those are tried who are left of the round.
            await bench.insert(
                node(id=f"n{number}", name=f"n{number}", zone="easy"),
                instance(id=f"e{number}", zone="easy", tenant=f"t{number}"),
            )
            bench.clock.now_s += 1
            if not await bench.scheduler.place_some():
                break
        assert "last" in await bench.instances(InstanceState.BUILDING)
        assert f"e{number}" in await bench.instances(InstanceState.BUILDING)

    play(story)


def test_what_comes_free_in_the_midst_of_a_round_goes_to_whose_turn_it_is() -> None:
    async def story(bench: Bench) -> None:
        crowd = wishes(MANY, tenant="many")
        first = instance(id="first", zone="wanted", tenant="one")
        rival = instance(id="rival", zone="wanted", tenant="many", created_at=NOW + timedelta(days=1))
        await bench.insert(first, *crowd, rival)
        assert await bench.scheduler.place_some()  # has tried the first one in vain
        await bench.insert(node(id="new", name="new", zone="wanted"))
        await bench.pass_by()
        assert set(await bench.instances(InstanceState.BUILDING)) == {"first"}

    play(story)


def test_in_the_midst_of_a_round_requests_end_whose_nodes_failed() -> None:
    async def story(bench: Bench) -> None:
        moved = {"failed_on": ("gone",), "failure": Failure(code="x", message="it broke")}
        crowd = wishes(MANY)
        failed = crowd[rounds.FIRST : rounds.FIRST + 2 * DOUBTED_AT_ONCE]
        await bench.insert(*nodes(2 * FEW), *crowd[: rounds.FIRST], *crowd[rounds.FIRST + len(failed) :])
        await bench.insert(*(replace(one, **moved) for one in failed))
        await bench.pass_by()
        assert set(await bench.instances(InstanceState.ERROR)) == {one.id for one in failed}

    play(story)
