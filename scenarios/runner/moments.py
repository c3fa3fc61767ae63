"""Waits for the moments of a story."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from scenarios.runner.stage import Stage
from scenarios.runner.story import AtTime, ByChance, Moment, OnEvent, OnTold
from scenarios.runner.trace import Event, Origin


class Moments:
    """Hears the trace from its beginning; `comes` may be called before or after the moment."""

    def __init__(self, stage: Stage, random: Random) -> None:
        self._stage = stage
        self._random = random
        self._begun_s = 0.0
        self._waiting: dict[str, list[Callable[[Event], None]]] = {}  # by the source that they wait for
        stage.trace.listen(self._heard)

    def begin(self) -> None:
        """From now on `AtTime` counts."""
        self._begun_s = self._stage.now_s()

    async def comes(self, moment: Moment) -> None:
        """Returns when the moment has come."""
        if isinstance(moment, AtTime):
            await self._stage.sleep(max(0.0, self._begun_s + moment.at_s - self._stage.now_s()))
            return
        here: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        has_come = self._test(moment)

        def heard(event: Event) -> None:
            if not here.done() and has_come(event):
                here.set_result(None)

        if not isinstance(moment, ByChance):
            for event in self._stage.trace:
                heard(event)
        waiting = self._waiting.setdefault(_source(moment), [])
        waiting.append(heard)
        try:
            await here
        finally:
            waiting.remove(heard)
        if not isinstance(moment, ByChance) and moment.after_s:
            await self._stage.sleep(moment.after_s)

    def _heard(self, event: Event) -> None:
        for heard in tuple(self._waiting.get(event.source, ())):
            heard(event)

    def _test(self, moment: OnEvent | OnTold | ByChance) -> Callable[[Event], bool]:
        match moment:
            case OnEvent():
                return _nth(moment.nth, lambda event: fits(event, moment))
            case OnTold():
                return _nth(moment.nth, lambda event: _told(event, moment))
            case ByChance():
                return lambda event: (
                    event.source == moment.source
                    and moment.name in ("", event.name)
                    and moment.node in ("", event.node)
                    and self._random.random() < moment.probability
                )


def _source(moment: OnEvent | OnTold | ByChance) -> str:
    return "client" if isinstance(moment, OnTold) else moment.source


def _nth(nth: int, fits: Callable[[Event], bool]) -> Callable[[Event], bool]:
    seen = 0

    def test(event: Event) -> bool:
        nonlocal seen
        seen += fits(event)
        return seen >= nth

    return test


def fits(event: Event, moment: OnEvent) -> bool:
    """Whether it is such an event, whichever time."""
    return (
        event.source == moment.source
        and event.name == moment.name
        and moment.node in ("", event.node)
        and all(event.detail.get(key) == value for key, value in moment.detail.items())
    )


def _told(event: Event, moment: OnTold) -> bool:
    if event.origin is not Origin.STAGE or event.source != "client":
        return False
    name = event.detail.get("instance", event.node)
    return name == moment.name and event.detail.get("state") == moment.state
