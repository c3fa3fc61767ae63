"""The requests of a story on their way: each asked at its moment, watched until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from scenarios.runner.client import Client
from scenarios.runner.deadlines import Deadlines
from scenarios.runner.moments import Moments
from scenarios.runner.stage import BadAnswer, Stage
from scenarios.runner.story import ByChance, Delete, Deploy, Maintenance, OnTold, Power, Request, Story
from scenarios.runner.words import moment_in_words

ASKED_WITHIN_S = 1.0
"""A request is asked for so soon after its moment."""


@dataclass(slots=True)
class Asked:
    """A request on its way. ended_s: when; outcome: how. bad_answer: what the API answered in the
    place of what was asked for: then there is no outcome."""

    request: Request
    asked_s: float | None = None
    ended_s: float | None = None
    outcome: str = ""
    bad_answer: str = ""
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        request = self.request
        subject = request.instance if isinstance(request, Deploy | Delete) else request.node
        return f"{type(request).__name__.lower()} {subject}"


class Asking:
    """All requests of one playing of a story."""

    def __init__(
        self, story: Story, stage: Stage, client: Client, moments: Moments, deadlines: Deadlines
    ) -> None:
        self._story = story
        self._stage = stage
        self._client = client
        self._moments = moments
        self._deadlines = deadlines
        self._asked = [Asked(request) for request in story.requests]
        # While nobody answers, requests wait: "on" must not come after the "off" that was asked for later.
        self._maintaining = {node.name: asyncio.Lock() for node in story.nodes}

    def __iter__(self) -> Iterator[Asked]:
        return iter(self._asked)

    def begin(self) -> None:
        for asked in self._asked:
            asked.task = asyncio.create_task(self._ask(asked), name=asked.label)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return [asked.task for asked in self._asked if asked.task is not None]

    async def within(self, duration_s: float) -> None:
        """Until every request has ended, or for so long."""
        waiting = asyncio.create_task(self._stage.sleep(duration_s))
        every = asyncio.gather(*self.tasks)
        try:
            await asyncio.wait((waiting, every), return_when=asyncio.FIRST_COMPLETED)
            for task in self.tasks:
                if task.done():
                    task.result()
        finally:
            waiting.cancel()
            if not every.done():
                # Not `every.cancel()`: the requests go on.
                every.add_done_callback(lambda gathered: gathered.cancelled() or gathered.exception())

    async def late(self) -> list[str]:
        """All has healed: gives each request its time, and tells of those that didn't end in it."""
        told: list[str] = []
        healed_s = self._stage.now_s()
        left = list(self._asked)
        while left:
            due = _due(left)
            if due is None:
                # The end of one may have been the moment of another, wherever in the story that one stands.
                yet_s = max(self._moments.left_s(asked.request.when) for asked in left)
                await self._stage.sleep(ASKED_WITHIN_S + yet_s)
                due = _due(left)
            if due is None:
                break
            asked, asked_s = due
            left.remove(asked)
            allowed_s = self._deadlines.of(asked.request)
            end_s = max(healed_s, asked_s) + allowed_s
            if asked.ended_s is None:
                await self._until_ended(asked, end_s)
            if asked.ended_s is not None and asked.ended_s > end_s:
                # While another was waited for, which may take longer.
                told.append(
                    f"{asked.label} ended {asked.ended_s - end_s:.0f} s too late: {allowed_s:.0f} s are "
                    "allowed after everything had healed"
                )
            if asked.ended_s is None:
                told.append(
                    f"{asked.label} had not ended {allowed_s:.0f} s after everything had healed: "
                    f"{await self._where(asked.request)}"
                )
        return told

    def never_asked(self) -> list[str]:
        """A sentence for each request whose moment never came. What is left to chance may not come, nor what
        a node that was struck was to tell."""
        if self._story.struck_may_fail:
            return []
        return [
            f"{asked.label} was never asked for, its moment never came: {moment_in_words(asked.request.when)}"
            for asked in self._asked
            if asked.asked_s is None and not isinstance(asked.request.when, ByChance)
        ]

    async def _ask(self, asked: Asked) -> None:
        request = asked.request
        if isinstance(request, Delete) and self._story.struck_may_fail:
            await self._given_back(request)
        else:
            await self._moments.comes(request.when)
        asked.asked_s = self._stage.now_s()
        try:
            asked.outcome = await self._outcome(request)
        except BadAnswer as error:
            asked.bad_answer = str(error)
        asked.ended_s = self._stage.now_s()

    async def _outcome(self, request: Request) -> str:
        match request:
            case Deploy():
                return await self._client.deploy(request)
            case Delete():
                return await self._client.delete(request)
            case Power():
                return await self._client.power(request)
            case Maintenance():
                async with self._maintaining[request.node]:
                    return await self._client.maintenance(request)

    async def _given_back(self, request: Delete) -> None:
        """When its moment comes; at once when its deploy has failed: others may wait for its node."""
        moments = (request.when, OnTold(request.instance, "error"))
        waiting = [asyncio.create_task(self._moments.comes(moment)) for moment in moments]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(waiting)

    async def _until_ended(self, asked: Asked, end_s: float) -> None:
        assert asked.task is not None
        waiting = asyncio.create_task(self._stage.sleep(max(0.0, end_s - self._stage.now_s())))
        await asyncio.wait((waiting, asked.task), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if asked.task.done():
            asked.task.result()

    async def _where(self, request: Request) -> str:
        if isinstance(request, Deploy | Delete):
            answer = await self._stage.call("GET", f"/v1/instances/{request.instance}")
            if answer.status == 200:
                work = answer.body.get("work") or {}
                waits = answer.body.get("waiting_for")
                why = f", waiting: {waits}" if waits else ""
                return f"instance {answer.body['state']}, step {work.get('step', 'none')}{why}"
        return "no answer"


def _due(left: Iterable[Asked]) -> tuple[Asked, float] | None:
    """One that was asked for, and when."""
    return next(((asked, asked.asked_s) for asked in left if asked.asked_s is not None), None)


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Returns when none of them runs any more."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
