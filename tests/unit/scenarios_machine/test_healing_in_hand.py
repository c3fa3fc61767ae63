"""The end of what may go wrong finds faults that are being brought about, or healed: they end first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, cast

import pytest

from scenarios.runner.breaking import Breaking
from scenarios.runner.machine.outage import Outages
from scenarios.runner.moments import Moments
from scenarios.runner.stage import LabTrouble, Order
from scenarios.runner.story import Story, Strike
from scenarios.runner.trace import Trace

DEADLINE_S = 30.0


class SlowStage:
    """Brings about and heals when it may. did: in the order in which that ended."""

    def __init__(self) -> None:
        self.trace = Trace()
        self.did: list[str] = []
        self.begun = asyncio.Event()
        self.may_inject = asyncio.Event()
        self.may_heal = asyncio.Event()
        self.broken = False

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)

    def owner(self, node: str) -> str:
        return ""

    async def inject(self, order: Order) -> None:
        self.begun.set()
        await self.may_inject.wait()
        self.did.append("injected")
        if self.broken:
            raise LabTrouble("the rack can't do that")

    async def heal(self, order: Order) -> None:
        self.begun.set()
        await self.may_heal.wait()
        self.did.append("healed")

    @property
    def told(self) -> list[str]:
        return [event.name for event in self.trace]


class Server:
    """Of a database."""

    up = True

    def stop(self) -> None:
        self.up = False

    def start(self) -> None:
        self.up = True


async def struck(stage: Any, *strikes: Strike) -> Breaking:
    story = Story(name="struck", hosts=(), nodes=(), requests=(), strikes=strikes)
    moments = Moments(stage, Random(1))
    breaking = Breaking(story, stage, moments)
    await breaking.begin_before_all()
    moments.begin()
    breaking.begin()
    return breaking


def play(story: Callable[[SlowStage], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await story(SlowStage())

    asyncio.run(bounded())


async def turns() -> None:
    """Whoever can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


SLOW = Strike(fault="disk.slow", node="n1")


def test_a_fault_that_is_being_brought_about_is_healed_after_that() -> None:
    async def story(stage: SlowStage) -> None:
        breaking = await struck(stage, SLOW)
        await stage.begun.wait()
        stage.may_heal.set()
        healing = asyncio.create_task(breaking.heal_all())
        await turns()
        assert stage.did == []
        stage.may_inject.set()
        await healing
        assert stage.did == ["injected", "healed"]
        assert stage.told == ["injected", "healed"]

    play(story)


def test_a_healing_in_hand_is_brought_to_its_end_and_told_once() -> None:
    async def story(stage: SlowStage) -> None:
        stage.may_inject.set()
        breaking = await struck(stage, Strike(fault="disk.slow", node="n1", heal_after_s=0.0))
        while stage.did != ["injected"]:
            await asyncio.sleep(0)
        stage.begun.clear()
        await stage.begun.wait()
        healing = asyncio.create_task(breaking.heal_all())
        await turns()
        assert not healing.done()
        stage.may_heal.set()
        await healing
        assert stage.did == ["injected", "healed"]
        assert stage.told == ["injected", "healed"]

    play(story)


def test_the_next_of_its_kind_waits_until_the_one_before_is_healed() -> None:
    async def story(stage: SlowStage) -> None:
        breaking = await struck(stage, SLOW, SLOW)
        await stage.begun.wait()
        stage.may_heal.set()
        await turns()
        assert stage.told == ["injected"], "the second heals what the first has not brought about"
        stage.may_inject.set()
        while stage.told != ["injected", "healed", "injected"]:
            await asyncio.sleep(0)
        await breaking.heal_all()
        assert stage.did == ["injected", "healed"] * 2

    play(story)


def test_one_that_cannot_be_brought_about_in_the_end_is_told() -> None:
    async def story(stage: SlowStage) -> None:
        stage.broken = True
        breaking = await struck(stage, SLOW)
        await stage.begun.wait()
        healing = asyncio.create_task(breaking.heal_all())
        await turns()
        stage.may_inject.set()
        with pytest.raises(LabTrouble, match="the rack can't do that"):
            await healing

    play(story)


def test_what_is_in_hand_when_the_lab_is_taken_down_is_let_go() -> None:
    async def story(stage: SlowStage) -> None:
        breaking = await struck(stage, SLOW)
        await stage.begun.wait()
        await breaking.end()
        assert stage.did == []

    play(story)


def test_a_database_whose_return_is_awaited_when_all_heals_returns() -> None:
    async def story(stage: SlowStage) -> None:
        server, outages = Server(), Outages()

        async def inject(order: Order) -> None:
            await outages.begin(server, 0.05, lambda: None)

        async def heal(order: Order) -> None:
            stage.begun.set()
            await outages.over()

        cast(Any, stage).inject, cast(Any, stage).heal = inject, heal
        breaking = await struck(
            stage, Strike(fault="db.restart", parameters={"down_s": 0.05}, heal_after_s=0.0)
        )
        await stage.begun.wait()
        assert not server.up
        await breaking.heal_all()
        assert server.up
        assert stage.told == ["injected", "healed"]

    play(story)
