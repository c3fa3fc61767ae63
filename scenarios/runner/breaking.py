"""The faults of a story: injected at their moments, healed at theirs, and whether they did anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf

from scenarios.runner.asking import end
from scenarios.runner.moments import Moments
from scenarios.runner.stage import LabTrouble, Order, Stage
from scenarios.runner.story import AtTime, Moment, OnEvent, Story, Strike
from scenarios.runner.trace import Event, Origin
from scenarios.runner.vocabulary import ENROL_STEPS

OF_PROCESSES = ("host.kill", "host.end", "host.stop", "host.restart")
"""Of these each befalls the process that runs then."""


@dataclass(slots=True)
class _Blow:
    """A strike that has come. from_s, to_s: while it is in force. in_hand: held by who brings it about, or
    heals it: one overtakes the other nowhere."""

    strike: Strike
    order: Order
    from_s: float
    to_s: float = inf
    healed: bool = False
    in_hand: asyncio.Lock = field(default_factory=asyncio.Lock)

    def explains(self, event: Event) -> bool:
        """Whether it may be of this one that a device tells: it has changed something."""
        order, host = self.order, event.detail.get("host") or event.sender
        return (
            event.detail.get("fault") == order.fault
            and self.from_s <= event.t_s <= self.to_s
            and (order.host != "" or order.node in ("", event.node))
            and (order.host == "" or host.partition("#")[0] in ("", order.host))
            and order.image in ("", event.detail.get("image", order.image))
        )


class Breaking:
    """All strikes of one playing of a story."""

    def __init__(self, story: Story, stage: Stage, moments: Moments) -> None:
        self._stage = stage
        self._moments = moments
        self._blows: list[_Blow] = []
        # An image that is broken from the beginning is so before it is brought.
        self._first = [one for one in story.strikes if one.image and one.when == AtTime(0)]
        self._enrolling = [one for one in story.strikes if _is_of_enrolment(one.when)]
        self._rest = [one for one in story.strikes if one not in (*self._first, *self._enrolling)]
        self._tasks: list[asyncio.Task[None]] = []
        self._acting: set[asyncio.Task[None] | None] = set()
        """Those that change something in the lab at this moment."""
        self._over = False

    async def begin_before_all(self) -> None:
        """Returns when what is broken before the rack is used is broken."""
        self._tasks += [asyncio.create_task(self._heals(one, await self._break(one))) for one in self._first]
        self._tasks += [asyncio.create_task(self._strike(strike)) for strike in self._enrolling]

    def begin(self) -> None:
        self._tasks += [asyncio.create_task(self._strike(strike)) for strike in self._rest]

    async def heal_all(self) -> None:
        """Nothing strikes after this. Raises LabTrouble of strikes that couldn't be brought about. What is in
        hand is brought to its end: a thread that injects a fault can't be called back, and a server that
        nobody waits for never would be told to have healed."""
        self._over = True
        for task in self._tasks:
            if task not in self._acting:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for task in self._tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        for blow in tuple(self._blows):
            await self._heal(blow)

    def times_struck(self, fault: str, node: str) -> int:
        """How many of its strikes did that must change something, as devices tell. node: empty: whichever."""
        did: set[int] = set()
        for event in self._stage.trace:
            if (event.source, event.name) == ("fault", "struck") and event.detail.get("fault") == fault:
                # What two would explain is the later one's.
                last = (at for at in reversed(range(len(self._blows))) if self._blows[at].explains(event))
                did.update(at for at in [next(last, -1)] if at >= 0)
        struck = [self._blows[at].strike for at in did]
        return sum(node in ("", strike.node) and not strike.may_miss for strike in struck)

    def begun(self, fault: str, node: str) -> bool:
        """Whether its moment came. node: empty: at whichever."""
        return any(one.strike.fault == fault and node in ("", one.strike.node) for one in self._blows)

    async def end(self) -> None:
        """The lab is about to be taken down: nothing is healed."""
        await end(self._tasks)

    async def _strike(self, strike: Strike) -> None:
        await self._moments.comes(strike.when)
        await self._heals(strike, await self._break(strike))

    async def _break(self, strike: Strike) -> _Blow:
        host = self._stage.owner(strike.node) if strike.host == "owner" else strike.host
        order = Order(
            fault=strike.fault,
            node=strike.node,
            host=host,
            image=strike.image,
            parameters=strike.parameters,
        )
        with self._acts():
            await self._make_room(order)
            blow = _Blow(strike, order, self._stage.now_s())
            self._note("injected", order)
            self._blows.append(blow)
            try:
                async with blow.in_hand:
                    await self._stage.inject(order)
            except LabTrouble as error:
                error.at_s = self._stage.now_s()
                raise
        return blow

    async def _make_room(self, order: Order) -> None:
        """A fault that is there already begins anew."""
        of = _target(order)
        if order.fault not in OF_PROCESSES:
            for blow in [one for one in self._blows if _target(one.order) == of]:
                await self._heal(blow)

    async def _heals(self, strike: Strike, blow: _Blow) -> None:
        if self._over:
            return
        if strike.heal_after_s is not None:
            await self._stage.sleep(strike.heal_after_s)
        elif strike.heal_when is not None:
            await self._moments.comes(strike.heal_when)
        else:
            return
        await self._heal(blow)

    async def _heal(self, blow: _Blow) -> None:
        with self._acts():
            async with blow.in_hand:
                if not blow.healed:
                    await self._stage.heal(blow.order)
                    blow.healed = True
                    blow.to_s = self._stage.now_s()
                    self._note("healed", blow.order)

    @contextmanager
    def _acts(self) -> Iterator[None]:
        task = asyncio.current_task()
        already = task in self._acting
        self._acting.add(task)
        try:
            yield
        finally:
            if not already:
                self._acting.discard(task)

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


def _is_of_enrolment(moment: Moment) -> bool:
    """Then it comes before the story begins."""
    return isinstance(moment, OnEvent) and moment.detail.get("step") in ENROL_STEPS


def _target(order: Order) -> tuple[str, str, str, str]:
    return order.fault, order.node, order.host, order.image
