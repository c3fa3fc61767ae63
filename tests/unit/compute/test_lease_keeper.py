from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from provisioner.compute.lease import LeaseKeeper
from provisioner.compute.ownership import Hosts
from provisioner.core.errors import Conflict, LeaseLost, TransientError
from provisioner.core.model import Host
from provisioner.protocols.store import Store, Tx
from provisioner.store.memory import MemoryStore
from tests.unit.fakes import JumpingClock

T = TypeVar("T")
TTL_S = 9.0


class MovableStore(MemoryStore):
    """A store that can be away, or never answer."""

    away = silent = False

    async def transact(self, work: Callable[[Tx], T]) -> T:
        if self.silent:
            await asyncio.Event().wait()
        if self.away:
            raise TransientError("use the database", answer="it is away")
        return await super().transact(work)


def play(story: Callable[[JumpingClock, MovableStore], Awaitable[T]]) -> T:
    async def run() -> T:
        clock = JumpingClock()
        return await story(clock, MovableStore(clock.wall))

    return asyncio.run(run())


def keeper(store: Store, clock: JumpingClock, holder: str = "") -> LeaseKeeper:
    """holder: empty: another one each time."""
    return LeaseKeeper(store, clock, "ch1", TTL_S, holder=holder or str(uuid4()))


def test_a_second_host_of_one_name_is_refused_while_the_first_lives() -> None:
    async def story(clock: JumpingClock, store: MovableStore) -> None:
        first = keeper(store, clock)
        await first.acquire()
        keeping = asyncio.create_task(first.keep())
        with pytest.raises(Conflict, match="another process holds a lease under this name, and renews it"):
            await keeper(store, clock).acquire()
        keeping.cancel()
        begun_s = clock.now_s
        assert (await keeper(store, clock).acquire()).epoch == 2
        assert clock.now_s - begun_s >= TTL_S

    play(story)


def test_a_process_that_is_proven_to_be_alone_does_not_wait_for_its_dead_forerunner() -> None:
    async def story(clock: JumpingClock, store: MovableStore) -> int:
        await keeper(store, clock, "folder").acquire()
        return (await keeper(store, clock, "folder").acquire()).epoch

    assert play(story) == 2


def test_a_command_that_may_outlast_the_lease_is_not_started() -> None:
    async def story(clock: JumpingClock, store: MovableStore) -> None:
        lease = keeper(store, clock)
        with pytest.raises(LeaseLost):
            await lease.cover(1)
        await lease.acquire()
        store.away = True
        await lease.cover(TTL_S - 0.1)
        with pytest.raises(LeaseLost, match="the lease ends sooner"):
            await lease.cover(TTL_S)

    play(story)


def test_a_lease_that_runs_out_while_others_are_looked_at_does_not_come_back() -> None:
    async def story(clock: JumpingClock, store: MovableStore) -> None:
        lease = keeper(store, clock)
        await lease.acquire()
        clock.now_s += TTL_S - 1
        observe = lease.others.observe

        def slowly(rows: Iterable[Host], now_s: float) -> None:
            clock.now_s += 2
            observe(rows, now_s)

        lease.others.observe = slowly  # type: ignore[method-assign]
        with pytest.raises(LeaseLost, match="the lease has run out"):
            await lease.cover(4.0)
        assert not lease.alive

    play(story)


def test_a_host_that_was_forgotten_does_not_renew_the_lease_of_the_next_of_its_name() -> None:
    async def story(clock: JumpingClock, store: MovableStore) -> None:
        first, second = keeper(store, clock), keeper(store, clock)
        assert (await first.acquire()).epoch == 1
        await store.transact(lambda tx: tx.delete(Host, "ch1"))
        assert (await second.acquire()).epoch == 1
        clock.now_s += TTL_S / 2
        with pytest.raises(LeaseLost, match="it was taken"):
            await first.cover(TTL_S * 0.75)
        await first.release()
        found = await store.transact(lambda tx: tx.get(Host, "ch1"))
        assert found is not None
        assert not found.released

    play(story)


def test_a_lease_is_prolonged_for_a_command_that_would_outlast_it() -> None:
    async def story(clock: JumpingClock, store: MovableStore) -> None:
        lease = keeper(store, clock)
        await lease.acquire()
        clock.now_s += TTL_S / 2
        await asyncio.gather(*(lease.cover(TTL_S - 1) for _ in range(5)))
        row = await store.transact(lambda tx: tx.get(Host, "ch1"))
        assert row is not None
        assert row.beat == 1
        with pytest.raises(LeaseLost, match="the lease ends sooner"):
            await lease.cover(TTL_S)

    play(story)


def test_a_kept_lease_is_renewed_well_before_its_end() -> None:
    async def story(clock: JumpingClock, store: MovableStore) -> None:
        lease = keeper(store, clock)
        await lease.acquire()
        keeping = asyncio.create_task(lease.keep())
        while clock.now_s < 100:
            await asyncio.sleep(0)
            assert lease.alive
        keeping.cancel()
        row = await store.transact(lambda tx: tx.get(Host, "ch1"))
        assert row is not None
        assert row.epoch == 1
        assert row.beat == pytest.approx(100 / (0.36 * TTL_S), abs=1)

    play(story)


def test_a_host_whose_name_was_taken_stops() -> None:
    async def story(clock: JumpingClock, store: MovableStore) -> None:
        lease = keeper(store, clock, "folder")
        await lease.acquire()
        await keeper(store, clock, "folder").acquire()
        with pytest.raises(LeaseLost, match="it was taken"):
            await lease.keep()
        assert not lease.alive

    play(story)


def test_a_host_that_cannot_reach_the_store_stops_when_its_lease_runs_out() -> None:
    async def story(clock: JumpingClock, store: MovableStore) -> None:
        lease = keeper(store, clock)
        await lease.acquire()
        store.away = True
        with pytest.raises(LeaseLost, match="the lease has run out"):
            await lease.keep()
        assert clock.now_s == pytest.approx(0.9 * TTL_S)

    play(story)


def test_others_have_a_lease_s_time_to_come_back_when_the_store_was_away_from_all() -> None:
    """Else the first one that is back has all nodes at once."""

    async def story(clock: JumpingClock, store: MovableStore) -> None:
        lease, other = keeper(store, clock, "folder"), LeaseKeeper(store, clock, "ch2", TTL_S, holder="other")
        await lease.acquire()
        await other.acquire()

        async def dead() -> list[str]:
            seen = await store.transact(lambda tx: Hosts.seen(tx, lease.others, "ch1", clock.monotonic_s))
            return [row.id for row in seen.dead]

        assert await dead() == []
        clock.now_s += 60
        await lease.acquire()
        assert await dead() == []
        clock.now_s += TTL_S
        assert await dead() == ["ch2"]

    play(story)


def test_a_store_that_is_silent_is_told_as_why_the_lease_was_not_renewed() -> None:
    async def story(clock: JumpingClock, store: MovableStore) -> None:
        lease = keeper(store, clock)
        await lease.acquire()
        clock.now_s += TTL_S - 0.01
        store.silent = True
        with capture_logs() as logs, pytest.raises(LeaseLost):
            await lease.cover(0.05)
        (told,) = [line for line in logs if line["event"] == "lease.renewal_failed"]
        assert told["error"] == "renew the lease: the store was silent for 0.1 s"

    play(story)


def test_a_released_lease_can_be_taken_at_once() -> None:
    async def story(clock: JumpingClock, store: MovableStore) -> int:
        lease = keeper(store, clock)
        await lease.acquire()
        await lease.release()
        clock.now_s += 0.001
        return (await keeper(store, clock).acquire()).epoch

    assert play(story) == 2


def test_what_devices_may_be_carrying_out_is_waited_for_within_the_lease() -> None:
    async def story(clock: JumpingClock, store: MovableStore) -> None:
        lease = keeper(store, clock)
        await lease.acquire()
        await lease.cover(4)
        clock.now_s += 1
        await lease.cover(2)
        await lease.cover(TTL_S - 2, changes=False)  # a question changes nothing, whenever it is answered
        await lease.commands_end()
        assert clock.now_s == 4
        assert lease.alive
        await lease.commands_end()
        assert clock.now_s == 4

    play(story)


@pytest.mark.parametrize("released", [False, True])
def test_what_a_dead_forerunner_told_devices_is_waited_for(*, released: bool) -> None:
    """A BMC goes on with it. One that has ended by itself has waited for that."""

    async def story(clock: JumpingClock, store: MovableStore) -> None:
        forerunner = keeper(store, clock, "folder")
        await forerunner.acquire()
        if released:
            await forerunner.release()
        lease = LeaseKeeper(store, clock, "ch1", TTL_S, holder="folder", longest_command_s=4.0)
        await lease.acquire()
        assert clock.now_s == 0, "it serves at once"
        await lease.cover(1, changes=False)
        assert clock.now_s == (0 if released else 4)
        await lease.cover(1)
        assert clock.now_s == (0 if released else 4)

    play(story)


class CrowdedStore(MemoryStore):
    """So many wait for it that nobody comes to his turn."""

    async def transact(self, work: Callable[[Tx], T]) -> T:
        raise AssertionError("it waits for all the others")

    async def transact_first(self, work: Callable[[Tx], T]) -> T:
        return await super().transact(work)


def test_a_lease_is_taken_and_renewed_before_all_else_that_waits_for_the_store() -> None:
    async def story() -> None:
        clock = JumpingClock()
        lease = keeper(CrowdedStore(clock.wall), clock)
        await lease.acquire()
        clock.now_s = TTL_S - 1
        await lease.cover(2, changes=False)
        assert lease.alive

    asyncio.run(story())
