"""What the scheduler remembers between transactions, and what it finds out when that is out of date."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from provisioner.core.model import Instance, Node, Port, TimelineEvent
from provisioner.core.states import InstanceState, ProvisionState
from provisioner.protocols.store import Tx
from provisioner.scheduler import memory, reasons
from provisioner.scheduler.scheduler import Scheduler
from provisioner.services.system import RandomIds
from provisioner.store.memory import MemoryStore
from tests.unit.api.counting_store import CountingStore
from tests.unit.records import NOW, flavor, image, instance, node


class StillClock:
    now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s


class Bench:
    def __init__(self) -> None:
        self.store = MemoryStore(lambda: NOW)
        self.clock = StillClock()
        self.scheduler = Scheduler(self.store, self.clock, RandomIds())

    async def change(self, work: Callable[[Tx], Any], *topics: str) -> None:
        await self.store.transact(lambda tx: (work(tx), tx.notify(*topics)))

    async def enrol(self, *nodes: Node) -> None:
        await self.change(lambda tx: tx.insert(*nodes), "offers")

    async def place(self, number: int = 1, **changes: Any) -> Instance:
        """What became of a request."""
        asked = instance(id=f"i{number}", **changes)
        await self.store.transact(lambda tx: tx.insert(asked))
        while await self.scheduler.place_some():
            pass
        found = await self.store.transact(lambda tx: tx.get(Instance, asked.id))
        assert found is not None
        return found


def play(story: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        bench = Bench()
        await bench.store.transact(lambda tx: tx.insert(image()))
        await story(bench)

    asyncio.run(run())


def small(number: int, **changes: Any) -> Node:
    return node(id=f"n{number}", name=f"n{number}", **changes)


def test_a_node_that_was_changed_since_it_was_read_is_read_again() -> None:
    async def story(bench: Bench) -> None:
        await bench.enrol(small(1), small(2), small(3, memory_mib=2048))
        assert (await bench.place(1)).node_id == "n1"
        await bench.change(lambda tx: tx.update(Node, "n2", {"maintenance": True}))  # and nobody says so
        assert (await bench.place(2)).node_id == "n3"

    play(story)


def test_a_node_that_was_reserved_since_it_was_read_goes_to_its_tenant_alone() -> None:
    async def story(bench: Bench) -> None:
        await bench.enrol(small(1), small(2), small(3))
        assert (await bench.place(1, tenant="red")).node_id == "n1"
        await bench.change(lambda tx: tx.update(Node, "n2", {"reserved_for": "blue"}), "offers")
        assert (await bench.place(2, tenant="red")).node_id == "n3"
        assert (await bench.place(3, tenant="red")).waiting_for == "no node fits: 2 × it is deploying"
        assert (await bench.place(4, tenant="blue")).node_id == "n2"

    play(story)


def test_a_node_that_is_reserved_no_longer_is_found_by_who_finds_nothing_else() -> None:
    async def story(bench: Bench) -> None:
        await bench.enrol(small(1, reserved_for="blue"))
        assert (await bench.place(1, tenant="red")).node_id is None
        await bench.change(lambda tx: tx.update(Node, "n1", {"reserved_for": ""}), "offers")
        bench.clock.now_s += 120
        await bench.scheduler.place_some()
        found = await bench.store.transact(lambda tx: tx.get(Instance, "i1"))
        assert found is not None and found.node_id == "n1"

    play(story)


def test_a_node_that_came_free_unannounced_is_found_by_who_finds_nothing_else() -> None:
    async def story(bench: Bench) -> None:
        await bench.enrol(small(1))
        assert (await bench.place(1)).node_id == "n1"
        await bench.change(lambda tx: tx.insert(small(2)))
        assert (await bench.place(2)).node_id == "n2"

    play(story)


def test_a_node_whose_owner_changed_is_found_by_who_asks_for_that_host() -> None:
    async def story(bench: Bench) -> None:
        await bench.enrol(small(1), small(2))
        assert (await bench.place(1)).node_id == "n1"
        await bench.change(lambda tx: tx.update(Node, "n2", {"owner": "ch2", "fence": 1}))
        bench.clock.now_s += 120
        assert (await bench.place(2, host_name="ch2")).node_id == "n2"

    play(story)


def test_what_a_transaction_took_that_did_not_last_is_free_again() -> None:
    async def story(bench: Bench) -> None:
        await bench.enrol(small(1))
        await bench.store.transact(lambda tx: tx.insert(instance(id="i1")))
        transact = bench.store.transact

        async def lost(work: Callable[[Tx], Any]) -> Any:
            def and_lost(tx: Tx) -> Any:
                work(tx)
                if tx.count(Instance, where={"state": InstanceState.BUILDING}):
                    raise ConnectionError

            return await transact(and_lost)

        bench.store.transact = lost  # type: ignore[method-assign, assignment]
        try:
            await bench.scheduler.place_some()
        except ConnectionError:
            bench.store.transact = transact  # type: ignore[method-assign]
        await bench.scheduler.place_some()
        found = await bench.store.transact(lambda tx: tx.get(Instance, "i1"))
        assert found is not None and found.node_id == "n1"

    play(story)


def test_more_nodes_than_are_read_at_once_are_all_learned_of_whoever_owns_them(monkeypatch: Any) -> None:
    monkeypatch.setattr(memory, "READ_AT_ONCE", 4)

    async def story(bench: Bench) -> None:
        await bench.enrol(*(small(number, owner=None) for number in range(100, 120)))
        await bench.enrol(*(small(number) for number in range(200, 220)))
        for number in range(20):
            assert (await bench.place(number)).state is InstanceState.BUILDING
        last = await bench.place(99)
        assert last.waiting_for == "no node fits: 20 × no compute host owns it"

    play(story)


def test_however_many_nodes_are_free_no_transaction_reads_many_of_them(monkeypatch: Any) -> None:
    """When a request finds nothing among them, and all are read anew."""
    monkeypatch.setattr(memory, "READ_AT_ONCE", 4)

    async def story(bench: Bench) -> None:
        nodes = 40
        await bench.enrol(*(small(number) for number in range(100, 100 + nodes)))
        counting = CountingStore(bench.store)
        bench.scheduler = Scheduler(counting, bench.clock, RandomIds())
        await bench.place(1, flavor=flavor(cpus=9999))
        await bench.change(lambda tx: tx.update(Node, "n139", {"cpus": 999}))  # and nobody says so
        counting.rows.clear()
        bench.clock.now_s += 120
        assert (await bench.place(2, flavor=flavor(cpus=999))).node_id == "n139"
        # Ids of all, twice; some for the reason; and the request.
        assert max(counting.rows) <= 2 * nodes + reasons.FEW + 1 + 4

    play(story)


def test_nodes_that_are_nobodys_yet_hold_up_no_look_however_many_they_are(monkeypatch: Any) -> None:
    """More than are read at once, fewer than are read twice."""
    monkeypatch.setattr(memory, "READ_AT_ONCE", 4)

    async def story(bench: Bench) -> None:
        await bench.enrol(*(small(number, owner=None) for number in range(100, 106)))
        assert (await bench.place(1)).waiting_for == "no node fits: 6 × no compute host owns it"

    play(story)


def test_who_waits_is_told_what_free_nodes_lack_before_what_others_do() -> None:
    async def story(bench: Bench) -> None:
        await bench.enrol(*(small(number, state=ProvisionState.ACTIVE) for number in range(100, 140)))
        await bench.enrol(small(1, memory_mib=8))
        told = (await bench.place()).waiting_for
        assert told == "no node fits: 1 × it has 8 MiB of memory, 512 are needed"

    play(story)


@pytest.mark.parametrize(
    ("idle", "why"),
    [
        ({"owner": None}, "no compute host owns it"),
        ({"maintenance": True}, "it is in maintenance"),
        ({}, "it has failed this request before"),
        ({"cpus": 0}, "it has 0 CPUs, 1 are needed"),
    ],
)
def test_who_waits_is_told_why_the_idle_node_among_many_is_none_for_it(
    idle: dict[str, Any], why: str
) -> None:
    async def story(bench: Bench) -> None:
        await bench.enrol(*(small(number, state=ProvisionState.ACTIVE) for number in range(100, 140)))
        await bench.enrol(small(1, **idle))
        told = (await bench.place(failed_on=("n1",) if not idle else ())).waiting_for
        assert told == f"no node fits: 1 × {why}"

    play(story)


def test_a_request_for_a_node_that_is_gone_is_told_so() -> None:
    async def story(bench: Bench) -> None:
        assert (await bench.place(node_name="n9")).waiting_for == "there is no node n9"

    play(story)


def test_tenants_take_turns_at_what_comes_free() -> None:
    async def story(bench: Bench) -> None:
        crowd = [instance(id=f"a{n}", tenant="a", launch_index=n) for n in range(8)]
        await bench.store.transact(
            lambda tx: tx.insert(*crowd, instance(id="b0", tenant="b", launch_index=99))
        )
        await bench.scheduler.place_some()
        for number in range(3):
            await bench.enrol(small(number))
            bench.clock.now_s += 1
            await bench.scheduler.place_some()
        placed = await bench.store.transact(
            lambda tx: tx.find(Instance, where={"state": InstanceState.BUILDING})
        )
        assert {one.id for one in placed} == {"a0", "b0", "a1"}

    play(story)


def test_an_instance_has_the_address_of_the_port_that_its_node_boots_from() -> None:
    """Whichever way it got the node: as the best one, or by its name; and what happened is told once."""

    async def story(bench: Bench) -> None:
        for number in (1, 2):
            other = Port(id=f"mac-{number}-a", node_id=f"n{number}", address=f"10.0.{number}.1", boot=False)
            boot = Port(id=f"mac-{number}-b", node_id=f"n{number}", address=f"10.0.{number}.2")
            await bench.change(lambda tx, ports=(other, boot): tx.insert(*ports))  # type: ignore[misc]
        await bench.enrol(small(1), small(2))
        assert (await bench.place(1)).address == "10.0.1.2"
        assert (await bench.place(2, node_name="n2")).address == "10.0.2.2"
        told = await bench.store.transact(lambda tx: tx.find(TimelineEvent))
        assert [(one.name, one.instance_id) for one in told] == [
            ("node.claimed", "i1"),
            ("node.claimed", "i2"),
        ]

    play(story)
