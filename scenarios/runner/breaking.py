"""The faults of a story: injected at their moments, healed at theirs, and whether they did anything."""

from __future__ import annotations

import asyncio

from scenarios.runner.asking import end
from scenarios.runner.moments import Moments
from scenarios.runner.stage import LabTrouble, Order, Stage
from scenarios.runner.story import AtTime, Story, Strike
from scenarios.runner.trace import Event, Origin, Trace


class Breaking:
    """All strikes of one playing of a story."""

    def __init__(self, story: Story, stage: Stage, moments: Moments) -> None:
        self._stage = stage
        self._moments = moments
        self._injected: list[Order] = []
        # An image that is broken from the beginning is so before it is brought.
        self._first = [one for one in story.strikes if one.image and one.when == AtTime(0)]
        self._rest = [one for one in story.strikes if one not in self._first]
        self._tasks: list[asyncio.Task[None]] = []

    async def begin_before_all(self) -> None:
        """Returns when what is broken before the rack is used is broken."""
        self._tasks += [asyncio.create_task(self._heals(one, await self._break(one))) for one in self._first]

    def begin(self) -> None:
        self._tasks += [asyncio.create_task(self._strike(strike)) for strike in self._rest]

    async def heal_all(self) -> None:
        """Nothing strikes after this. Raises LabTrouble of strikes that couldn't be brought about."""
        await self.end()
        for task in self._tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        for order in tuple(self._injected):
            await self._heal(order)

    async def end(self) -> None:
        await end(self._tasks)

    async def _strike(self, strike: Strike) -> None:
        await self._moments.comes(strike.when)
        await self._heals(strike, await self._break(strike))

    async def _break(self, strike: Strike) -> Order:
        host = self._stage.owner(strike.node) if strike.host == "owner" else strike.host
        order = Order(
            fault=strike.fault,
            node=strike.node,
            host=host,
            image=strike.image,
            parameters=strike.parameters,
        )
        self._note("injected", order)
        self._injected.append(order)
        try:
            await self._stage.inject(order)
        except LabTrouble as error:
            error.at_s = self._stage.now_s()
            raise
        return order

    async def _heals(self, strike: Strike, order: Order) -> None:
        if strike.heal_after_s is not None:
            await self._stage.sleep(strike.heal_after_s)
        elif strike.heal_when is not None:
            await self._moments.comes(strike.heal_when)
        else:
            return
        await self._heal(order)

    async def _heal(self, order: Order) -> None:
        if order in self._injected:
            self._injected.remove(order)
            await self._stage.heal(order)
            self._note("healed", order)

    def _note(self, name: str, order: Order) -> None:
        detail = {"fault": order.fault, "host": order.host, "parameters": dict(order.parameters)}
        self._stage.trace.add(
            Event(
                t_s=self._stage.now_s(),
                origin=Origin.STAGE,
                source="fault",
                name=name,
                node=order.node,
                detail=detail,
            )
        )


def has_struck(trace: Trace, fault: str, node: str) -> bool:
    """Whether some device tells that the fault changed something for it. node: empty: whichever."""
    return any(
        event.source == "fault"
        and event.name == "struck"
        and event.detail.get("fault") == fault
        and node in ("", event.node)
        for event in trace
    )
