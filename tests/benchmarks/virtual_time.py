"""Waits per second in virtual time, against asyncio's own loop without epoll.

Run: `python -m tests.benchmarks.virtual_time`. The cost of a wait should stay below 1.3 of asyncio's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from scenarios.runner.virtual_time import VirtualLoop, run

TASKS = 1_000
TURNS = 300
REPEATS = 5

Work = Callable[[], Coroutine[Any, Any, None]]


class _StockWithoutEpoll(asyncio.BaseEventLoop):
    """asyncio's own loop, on a clock that jumps where it would ask the kernel to wait."""

    def __init__(self) -> None:
        super().__init__()
        self._clock_s = 0.0
        self._selector = self

    def time(self) -> float:
        return self._clock_s

    def select(self, timeout_s: float | None) -> tuple[()]:
        self._clock_s += timeout_s or 0.0
        return ()

    def _process_events(self, _: object) -> None:
        pass


async def steps() -> None:
    """Tasks that are always ready: nothing but the loop's own work."""

    async def spin() -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)

    await asyncio.gather(*(spin() for _ in range(TASKS)))


async def futures() -> None:
    """Pairs that wake each other up."""

    async def pair() -> None:
        here, there = asyncio.Event(), asyncio.Event()

        async def answer() -> None:
            for _ in range(TURNS // 2):
                await here.wait()
                here.clear()
                there.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(answer())
            for _ in range(TURNS // 2):
                here.set()
                await there.wait()
                there.clear()

    await asyncio.gather(*(pair() for _ in range(TASKS // 2)))


async def timers() -> None:
    """What a simulated rack mostly does: sleeps under deadlines that don't strike."""

    async def sleeper(number: int) -> None:
        for turn in range(TURNS // 3):
            async with asyncio.timeout(1000):
                await asyncio.sleep(0.001 * ((number * turn) % 97 + 1))

    await asyncio.gather(*(sleeper(number) for number in range(TASKS)))


WORKS: Sequence[tuple[Work, int]] = (
    (steps, TASKS * TURNS),
    (futures, TASKS // 2 * TURNS),
    (timers, TASKS * (TURNS // 3)),
)


def _ours(work: Work) -> None:
    run(work(), seed=1)


def _stock(work: Work) -> None:
    with asyncio.Runner(loop_factory=_StockWithoutEpoll) as runner:
        runner.run(work())


def _best_s(play: Callable[[Work], None], work: Work) -> float:
    took = []
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        play(work)
        took.append(time.perf_counter() - began_s)
    return min(took)


def main() -> None:
    for work, waits in WORKS:
        stock_s = _best_s(_stock, work)
        ours_s = _best_s(_ours, work)
        print(
            f"{work.__name__:8} stock {waits / stock_s:10,.0f} waits/s"
            f"   {VirtualLoop.__name__} {waits / ours_s:10,.0f} waits/s   cost {ours_s / stock_s:.2f}"
        )


if __name__ == "__main__":
    main()
