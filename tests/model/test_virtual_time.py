"""The virtual loop keeps what asyncio promises, and ends what could never end."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import CoroutineType

import pytest

from scenarios.runner.virtual_loop import FEW, MANY
from scenarios.runner.virtual_time import run

SEEDS = range(20)


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_time_starts_at_zero_and_jumps_to_the_next_timer() -> None:
    async def main() -> tuple[float, float]:
        began_s = now_s()
        await asyncio.sleep(365 * 86_400)
        return began_s, now_s()

    began_s = time.monotonic()
    assert run(main(), seed=0) == (0.0, 365 * 86_400.0)
    assert time.monotonic() - began_s < 5


def test_seeds_explore_every_order_of_tasks_that_are_ready_together() -> None:
    async def main() -> str:
        order = []

        async def racer(name: str) -> None:
            order.append(name)

        await asyncio.gather(racer("a"), racer("b"), racer("c"))
        return "".join(order)

    assert {run(main(), seed) for seed in range(60)} == {"abc", "acb", "bac", "bca", "cab", "cba"}
    assert len({run(main(), seed=7) for _ in range(5)}) == 1


def test_callbacks_keep_their_order_and_timers_of_the_same_time_too() -> None:
    async def main() -> list[int]:
        order: list[int] = []
        loop = asyncio.get_running_loop()
        for number in range(50):
            loop.call_soon(order.append, number)
            loop.call_at(5.0, order.append, 100 + number)
        await asyncio.sleep(6)
        return order

    for seed in SEEDS:
        assert run(main(), seed) == [*range(50), *range(100, 150)]


CROWD = 10 * MANY
"""More than are drawn from alike."""


def test_of_a_crowd_that_is_ready_all_run_in_an_order_that_seeds_vary_and_the_oldest_not_last() -> None:
    async def main() -> tuple[int, ...]:
        ran: list[int] = []

        async def one(number: int) -> None:
            ran.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(CROWD):
                group.create_task(one(number))
        return tuple(ran)

    orders = {run(main(), seed) for seed in SEEDS}
    assert len(orders) == len(SEEDS)
    assert all(sorted(order) == list(range(CROWD)) for order in orders)
    positions = [order.index(number) for order in orders for number in range(MANY)]
    assert min(positions) < CROWD / 10


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_is_ready_takes_a_step_though_a_crowd_is_ready_again_and_again(seed: int) -> None:
    async def main() -> bool:
        stepped = asyncio.Event()

        async def spins() -> None:
            while not stepped.is_set():
                await asyncio.sleep(0)

        async def steps() -> None:
            stepped.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(steps())
            for _ in range(CROWD):
                group.create_task(spins())
        return stepped.is_set()

    assert run(main(), seed)


def test_a_crowd_of_timers_of_one_time_keeps_its_order_and_all_are_of_that_time() -> None:
    async def main() -> list[tuple[int, float]]:
        loop, rang = asyncio.get_running_loop(), list[tuple[int, float]]()

        def rings(number: int) -> None:
            rang.append((number, loop.time()))
            if number == 3:
                timers[FEW + 3].cancel()
                timers[-1].cancel()
                loop.call_at(7.0, rings, -1)

        timers = [loop.call_at(7.0, rings, number) for number in range(CROWD)]
        for timer in timers[MANY : 2 * MANY]:
            timer.cancel()
        await asyncio.sleep(7.5)
        return rang

    gone = {FEW + 3, CROWD - 1, *range(MANY, 2 * MANY)}
    expected = [*(number for number in range(CROWD) if number not in gone), -1]
    for seed in SEEDS:
        assert run(main(), seed) == [(number, 7.0) for number in expected]


def test_timers_that_were_cancelled_by_the_thousand_leave_those_that_were_not() -> None:
    async def main() -> list[float]:
        loop, rang = asyncio.get_running_loop(), list[float]()
        for second in range(1, 2001):
            for cancelled in (True, False, True, True):
                timer = loop.call_at(second, lambda: rang.append(loop.time()))
                if cancelled:
                    timer.cancel()
        await asyncio.sleep(2001)
        return rang

    assert run(main(), seed=0) == [float(second) for second in range(1, 2001)]


def test_cancelled_timers_neither_run_nor_move_time() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        for timer in [loop.call_later(100 + number, pytest.fail) for number in range(5_000)]:
            timer.cancel()
        await asyncio.sleep(1)
        return now_s()

    assert run(main(), seed=0) == 1.0


def test_a_cancelled_timer_lets_nobody_wake_before_his_time() -> None:
    async def main() -> list[float]:
        loop, woken_s = asyncio.get_running_loop(), list[float]()
        _, same_time, _ = [loop.call_at(at_s, lambda: woken_s.append(now_s())) for at_s in (5.0, 5.0, 9.0)]
        same_time.cancel()
        await asyncio.sleep(10)
        return woken_s

    assert run(main(), seed=0) == [5.0, 9.0]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_timeout_strikes_at_its_time_and_only_then(seed: int) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.sleep(4)
        assert now_s() == 3
        async with asyncio.timeout(3):
            await asyncio.sleep(2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 5)
        assert now_s() == 10

    run(main(), seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_task_group_cancels_the_others_when_one_fails(seed: int) -> None:
    async def main() -> list[str]:
        cleaned: list[str] = []

        async def waits(name: str) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(0.5)
                cleaned.append(name)

        async def fails() -> None:
            await asyncio.sleep(1)
            raise ValueError("broken")

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(waits("a"))
                group.create_task(fails())
                group.create_task(waits("b"))
        assert caught.group_contains(ValueError, match="broken")
        assert now_s() == 1.5
        return sorted(cleaned)

    assert run(main(), seed) == ["a", "b"]


@pytest.mark.parametrize("seed", SEEDS)
def test_locks_semaphores_events_queues_and_conditions_hold(seed: int) -> None:
    async def main() -> None:
        lock, semaphore, inside, most = asyncio.Lock(), asyncio.Semaphore(3), 0, 0
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
        ready = asyncio.Event()
        received: list[int] = []

        async def worker(number: int) -> None:
            nonlocal inside, most
            await ready.wait()
            async with semaphore:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(1)
                inside -= 1
            async with lock:
                assert lock.locked()
                await queue.put(number)

        async def reader() -> None:
            while len(received) < 9:
                received.append(await queue.get())

        async with asyncio.TaskGroup() as group:
            for number in range(9):
                group.create_task(worker(number))
            group.create_task(reader())
            ready.set()
        assert (most, sorted(received), now_s()) == (3, list(range(9)), 3.0)

    run(main(), seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_gather_wait_and_shield_behave(seed: int) -> None:
    async def after(duration_s: float, value: str) -> str:
        await asyncio.sleep(duration_s)
        return value

    async def main() -> None:
        assert [*await asyncio.gather(after(3, "a"), after(1, "b"), after(2, "c"))] == ["a", "b", "c"]
        tasks = [asyncio.create_task(after(delay_s, str(delay_s))) for delay_s in (1, 2, 3)]
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert ([task.result() for task in done], len(waiting)) == (["1"], 2)
        assert [await task for task in asyncio.as_completed(tasks)] == ["1", "2", "3"]
        inner = asyncio.create_task(after(5, "kept"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.shield(inner)
        assert await inner == "kept"
        assert now_s() == 3 + 3 + 5

    run(main(), seed)


def test_a_set_of_tasks_is_walked_in_an_order_of_its_own_numbers() -> None:
    async def main() -> list[str]:
        tasks = {asyncio.create_task(asyncio.sleep(1), name=str(number)) for number in range(40)}
        names = [task.get_name() for task in tasks]
        await asyncio.wait(tasks)
        return names

    garbage = [object() for _ in range(1_000)]  # tasks lie elsewhere the second time
    first = run(main(), seed=1)
    del garbage[::2]
    assert run(main(), seed=1) == first


def test_a_dropped_generator_is_closed_within_the_story() -> None:
    closed: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(10):
                yield number
        finally:
            await asyncio.sleep(1)
            closed.append("closed")

    async def main() -> list[str]:
        async for _ in numbers():
            break
        await asyncio.sleep(2)
        return list(closed)

    assert run(main(), seed=0) == ["closed"]


def test_the_garbage_collector_is_as_it_was() -> None:
    async def main() -> bool:
        return gc.isenabled()

    assert gc.isenabled()
    assert run(main(), seed=0) is False
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


@pytest.mark.exhaustive
def test_many_stories_leave_no_memory_behind() -> None:
    @asynccontextmanager
    async def held() -> AsyncIterator[None]:
        yield

    async def story() -> None:
        async def waits() -> None:
            async with held():
                await asyncio.Event().wait()

        for _ in range(20):
            asyncio.create_task(waits())  # noqa: RUF006  # they are left behind on purpose
        await asyncio.sleep(1)

    def alive() -> int:
        run(story(), seed=0)
        gc.collect()
        return sum(1 for thing in gc.get_objects() if isinstance(thing, asyncio.Task | CoroutineType))

    before = alive()
    for _ in range(3):
        after = alive()
    assert after <= before
