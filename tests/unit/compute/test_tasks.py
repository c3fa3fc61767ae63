from __future__ import annotations

import asyncio

import pytest

from provisioner.compute.tasks import stop_tasks


def test_all_are_told_before_any_is_waited_for_and_whoever_stops_them_can_be_stopped() -> None:
    async def story() -> None:
        told, go_on = list[int](), asyncio.Event()

        async def ends_slowly(number: int) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                told.append(number)
                await go_on.wait()

        tasks = [asyncio.create_task(ends_slowly(number)) for number in range(3)]
        await asyncio.sleep(0)
        stopping = asyncio.create_task(stop_tasks(tasks))
        while len(told) < len(tasks):
            await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        go_on.set()
        await asyncio.wait(tasks)

    asyncio.run(story())
