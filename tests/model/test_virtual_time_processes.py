"""Processes that are killed do nothing more; stopped ones go on later."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scenarios.runner.processes import Process, ProcessDied, current
from scenarios.runner.virtual_time import Stalled, run

SEEDS = range(20)


def now_s() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_of_a_killed_process_runs_while_the_story_does(seed: int) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def resource() -> AsyncIterator[None]:
        try:
            yield
        finally:
            seen.append("resource released")

    async def child() -> None:
        try:
            async with resource():
                await asyncio.sleep(100)
        except asyncio.CancelledError:
            seen.append("child cancelled")
            raise
        finally:
            seen.append("child's finally")

    async def service() -> None:
        asyncio.get_running_loop().call_later(3, seen.append, "timer")
        try:
            async with asyncio.timeout(4), asyncio.TaskGroup() as group:
                group.create_task(child())
                await asyncio.gather(child(), asyncio.shield(child()))
        finally:
            seen.append("service's finally")

    async def main() -> list[str]:
        process = Process("host-1")
        process.start(service())
        await asyncio.sleep(2)
        process.kill()
        process.kill()
        assert not process.alive
        await asyncio.sleep(1_000)
        return list(seen)

    assert run(main(), seed) == []


def test_the_garbage_collector_gives_a_killed_task_no_last_word() -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def service() -> None:
            try:
                await asyncio.get_running_loop().create_future()  # that nobody else knows
            finally:
                seen.append("finally")

        process = Process("host-1")
        process.start(service())
        await asyncio.sleep(1)
        process.kill()
        await asyncio.sleep(1)
        gc.collect()
        return list(seen)

    assert run(main(), seed=0) == []


def test_what_is_closed_at_the_end_knows_that_its_process_is_dead(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[bool | None] = []

    async def service() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            process = current()
            said.append(process.alive if process else None)
            await asyncio.sleep(1)
            said.append(None)

    async def main() -> None:
        killed, stopped = Process("killed"), Process("stopped")
        killed.start(service())
        stopped.start(service())
        await asyncio.sleep(1)
        killed.kill()
        stopped.stop()
        await asyncio.sleep(1)

    run(main(), seed=0)
    assert said == [False, False]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stopped_process_goes_on_where_it_was_while_time_went_on(seed: int) -> None:
    async def ticks(log: list[float]) -> None:
        while True:
            await asyncio.sleep(1)
            log.append(now_s())

    async def main() -> tuple[list[float], list[float]]:
        mine: list[float] = []
        other: list[float] = []
        process = Process("host-1")
        process.start(ticks(mine))
        Process("host-2").start(ticks(other))
        await asyncio.sleep(2.5)
        process.stop()
        assert process.alive
        assert process.stopped
        await asyncio.sleep(4)
        process.cont()
        await asyncio.sleep(1.75)
        return mine, other

    mine, other = run(main(), seed)
    assert mine == [1, 2, 6.5, 7.5]
    assert other == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_stopped_process_that_is_killed_never_goes_on() -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def service() -> None:
            await asyncio.sleep(1)
            seen.append("went on")

        process = Process("host-1")
        process.start(service())
        process.stop()
        await asyncio.sleep(2)
        process.kill()
        process.cont()
        await asyncio.sleep(2)
        return seen

    assert run(main(), seed=0) == []


def test_a_caller_hears_of_the_death_of_who_was_to_answer() -> None:
    async def answer(after_s: float) -> str:
        await asyncio.sleep(after_s)
        return "here"

    async def main() -> None:
        process = Process("host-1")
        assert await process.call(answer(1)) == "here"
        asyncio.get_running_loop().call_later(2, process.kill)
        with pytest.raises(ProcessDied, match="host-1 died before it answered"):
            await process.call(answer(5))
        assert now_s() == 3
        with pytest.raises(ProcessDied, match="host-1 is dead"):
            await process.call(answer(5))
        with pytest.raises(ProcessDied):
            await process.gate()

    run(main(), seed=0)


def test_a_call_raises_what_the_work_raised_and_is_cancelled_with_its_caller() -> None:
    async def fails() -> None:
        raise ValueError("work failed")

    async def endless(seen: list[str]) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("hung up")
            raise

    async def main() -> list[str]:
        process = Process("host-1")
        with pytest.raises(ValueError, match="work failed"):
            await process.call(fails())
        seen: list[str] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await process.call(endless(seen))
        await asyncio.sleep(1)
        return seen

    assert run(main(), seed=0) == ["hung up"]


def test_the_gate_of_a_stopped_process_opens_when_it_goes_on_or_dies() -> None:
    async def main() -> None:
        process = Process("host-1")
        loop = asyncio.get_running_loop()
        process.stop()
        loop.call_later(5, process.cont)
        await process.gate()
        assert now_s() == 5
        process.stop()
        loop.call_later(5, process.kill)
        with pytest.raises(ProcessDied):
            await process.gate()
        assert now_s() == 10

    run(main(), seed=0)


def test_children_die_with_their_parent_and_then_the_rest_is_told() -> None:
    async def main() -> None:
        parent = Process("host-1")
        child = Process("qemu-img", parent)
        heard: list[bool] = []
        parent.on_death(lambda: heard.append(child.alive))
        parent.kill()
        assert heard == [False]
        with pytest.raises(ProcessDied, match="host-1 is dead and starts no ipmitool"):
            Process("ipmitool", parent)

    run(main(), seed=0)


def test_who_awaits_a_dead_process_directly_is_told_in_the_deadlock() -> None:
    async def main() -> None:
        process = Process("host-1")
        task = process.start(asyncio.sleep(5), name="deploy n1")
        await asyncio.sleep(1)
        process.kill()
        await task

    with pytest.raises(Stalled, match="deploy n1 of host-1"):
        run(main(), seed=0)


def test_a_step_that_kills_its_own_process_is_its_last() -> None:
    async def main() -> list[str]:
        seen: list[str] = []
        process = Process("host-1")

        async def late() -> None:
            seen.append("begun after death")

        async def suicide() -> None:
            process.kill()
            with pytest.raises(ProcessDied):
                process.start(late())
            asyncio.create_task(late())  # noqa: RUF006  # it must never run
            try:
                await asyncio.sleep(1)
            finally:
                seen.append("finally")

        process.start(suicide())
        await asyncio.sleep(10)
        return list(seen)

    assert run(main(), seed=0) == []
