from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from provisioner.api.line import Line
from provisioner.core.errors import TransientError


def test_one_of_each_tenant_is_at_it_at_a_time_and_as_many_wait_as_may() -> None:
    async def story() -> None:
        line, at_it, go = Line(most=3, most_of_one=2), Counter[str](), asyncio.Event()
        done: list[str] = []

        async def work(tenant: str) -> None:
            async with line.turn(tenant):
                at_it[tenant] += 1
                assert at_it[tenant] == 1
                await go.wait()
                await asyncio.sleep(0)
                done.append(tenant)
                at_it[tenant] -= 1

        async def refused(tenant: str) -> str:
            with pytest.raises(TransientError) as told:
                await work(tenant)
            return told.value.answer

        async with asyncio.TaskGroup() as group:
            for tenant in ("a", "a", "b"):
                group.create_task(work(tenant))
            await asyncio.sleep(0)
            assert at_it == {"a": 1, "b": 1}, "nobody waits for another's"
            assert await refused("a") == "2 of tenant a wait for their turn at it"
            assert await refused("c") == "3 wait for their turn at it"
            go.set()
        assert sorted(done) == ["a", "a", "b"]
        await work("a")  # there is room again

    asyncio.run(story())


def test_who_goes_away_while_it_waits_leaves_its_place() -> None:
    async def story() -> None:
        line = Line(most=2, most_of_one=2)
        async with line.turn("a"):
            waiting = asyncio.create_task(line.turn("a").__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        async with line.turn("a"):
            pass

    asyncio.run(story())
