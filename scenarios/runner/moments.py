"""Waits for the moments of a story."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from scenarios.runner.stage import Stage
from scenarios.runner.story import AtTime, ByChance, Moment, OnEvent, OnTold
from scenarios.runner.trace import Event, Origin

Key = tuple[str, str]
"""Source of an event, and what it is about: a node, an instance; empty: anything."""


class Moments:
    """Hears the trace from its beginning; `comes` may be called before or after the moment. What waits is
    kept by what it waits for: with thousands of nodes each event concerns few."""

    def __init__(self, stage: Stage, random: Random) -> None:
        self._stage = stage
        self._random = random
        self._begun_s = 0.0
        self._came = 0
        self._sources: set[str] = set()  # of what was ever waited for
        self._waiting: dict[Key, dict[int, Callable[[Event], None]]] = {}  # by who came first
        self._past: dict[Key, list[Event]] = {}
        self._past_events = 0  # so many of the trace are in it
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

        key = _key(moment)
        if not isinstance(moment, ByChance):
            for event in self._before_now(key):
                heard(event)
        self._came = number = self._came + 1
        self._sources.add(key[0])
        waiting = self._waiting.setdefault(key, {})
        waiting[number] = heard
        try:
            await here
        finally:
            del waiting[number]
        if not isinstance(moment, ByChance) and moment.after_s:
            await self._stage.sleep(moment.after_s)

    def left_s(self, moment: Moment) -> float:
        """How long it may be until it comes, if no event has to come any more."""
        match moment:
            case AtTime():
                return max(0.0, self._begun_s + moment.at_s - self._stage.now_s())
            case ByChance():
                return 0.0
            case _:
                return moment.after_s

    def _heard(self, event: Event) -> None:
        if event.source not in self._sources:
            return
        found = [waiting for key in _keys(event) if (waiting := self._waiting.get(key))]
        if len(found) == 1:
            for heard in tuple(found[0].values()):
                heard(event)
        elif found:
            for _, heard in sorted(item for waiting in found for item in waiting.items()):
                heard(event)

    def _before_now(self, key: Key) -> Sequence[Event]:
        for event in self._stage.trace[self._past_events :]:
            for told in _keys(event):
                self._past.setdefault(told, []).append(event)
        self._past_events = len(self._stage.trace)
        return self._past.get(key, ())

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


def _key(moment: OnEvent | OnTold | ByChance) -> Key:
    return ("client", moment.name) if isinstance(moment, OnTold) else (moment.source, moment.node)


def _keys(event: Event) -> tuple[Key, ...]:
    """Of whatever may wait for it."""
    source, node = event.source, event.node
    keys = ((source, node), (source, "")) if node else ((source, ""),)
    if source != "client" or (instance := event.detail.get("instance", node)) == node:
        return keys
    return *keys, (source, instance)


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
