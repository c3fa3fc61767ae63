"""What a process asked of the world outlives it."""

from __future__ import annotations

import asyncio

import pytest

from scenarios.runner.processes import Process, as_world, outside
from scenarios.runner.virtual_time import run


def test_what_was_asked_of_the_world_goes_on_after_the_death_of_who_asked() -> None:
    async def main() -> list[str]:
        done: list[str] = []
        loop = asyncio.get_running_loop()

        async def machine_boots() -> None:
            await asyncio.sleep(10)
            done.append("booted")

        async def service() -> None:
            as_world(loop.call_later, 5.0, done.append, "relay clicked")
            loop.call_later(5.0, done.append, "own timer")
            await outside(machine_boots())
            done.append("service goes on")

        process = Process("host-1")
        process.start(service())
        await asyncio.sleep(1)
        process.kill()
        await asyncio.sleep(20)
        return done

    assert run(main(), seed=0) == ["relay clicked", "booted"]


def test_a_failure_of_the_world_reaches_who_asked_or_nobody_if_it_died() -> None:
    async def broken() -> None:
        await asyncio.sleep(5)
        raise OSError("BMC is gone")

    async def main() -> None:
        with pytest.raises(OSError, match="BMC is gone"):
            await outside(broken())
        process = Process("host-1")
        process.start(outside(broken()))
        await asyncio.sleep(1)
        process.kill()
        await asyncio.sleep(10)

    run(main(), seed=0)
