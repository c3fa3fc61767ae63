"""Requests on their way: each has its own deadline, whichever others are waited for."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, cast

from scenarios.runner.asking import Asking
from scenarios.runner.client import Client
from scenarios.runner.deadlines import Deadlines
from scenarios.runner.moments import Moments
from scenarios.runner.stage import Answer, Stage
from scenarios.runner.story import AtTime, Deploy, Moment, OnTold, Power, Request, Story
from scenarios.runner.trace import Event, Origin, Trace
from scenarios.runner.virtual_time import run

DEADLINES = Deadlines(deploy_s=7000, clean_s=7000, power_s=600, maintenance_s=60, safety_s=10, settle_s=1)
DEPLOY = Deploy(instance="web", image="tiny", node="n1")


class Lab:
    """What `Asking` sees of a stage and a client. takes_s: how long a deploy and a change of power take."""

    def __init__(self, deploy_s: float, power_s: float) -> None:
        self.trace = Trace()
        self._takes_s = {"deploy": deploy_s, "power": power_s}

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)

    async def call(self, method: str, path: str) -> Answer:
        return Answer(status=404, body={})

    async def deploy(self, request: Deploy) -> str:
        await asyncio.sleep(self._takes_s["deploy"])
        detail = {"instance": request.instance, "state": "active"}
        told = Event(t_s=self.now_s(), origin=Origin.STAGE, source="client", name="instance", detail=detail)
        self.trace.add(told)
        return "active"

    async def power(self, request: Power) -> str:
        await asyncio.sleep(self._takes_s["power"])
        return "done"


def late(*requests: Request, deploy_s: float = 20.0, power_s: float = 1.0) -> tuple[list[str], list[str]]:
    """Which ended too late, and which were never asked for, where all has healed after 10 s."""

    async def main() -> tuple[list[str], list[str]]:
        lab: Any = Lab(deploy_s, power_s)
        story = Story(name="a-story", hosts=(), nodes=(), requests=requests)
        moments = Moments(cast(Stage, lab), Random(1))
        asking = Asking(story, cast(Stage, lab), cast(Client, lab), moments, DEADLINES)
        moments.begin()
        asking.begin()
        await asking.within(DEADLINES.safety_s)
        return await asking.late(), asking.never_asked()

    return run(main(), seed=1)


def cycle(when: Moment) -> Power:
    return Power(node="n2", verb="cycle", when=when)


def test_one_that_ends_too_late_is_told_though_another_was_waited_for_meanwhile() -> None:
    told, _ = late(DEPLOY, cycle(AtTime(0)), deploy_s=3000, power_s=2000)
    assert told == ["power n2 ended 1390 s too late: 600 s are allowed after everything had healed"]


def test_one_that_ends_in_its_time_is_not_told() -> None:
    assert late(DEPLOY, cycle(AtTime(0)), deploy_s=3000, power_s=609) == ([], [])
    assert late(DEPLOY, cycle(AtTime(100)), deploy_s=3000, power_s=599) == ([], [])


def test_one_whose_moment_is_known_to_come_is_waited_for() -> None:
    for when in (OnTold("web", "active", after_s=60), AtTime(400)):
        assert late(DEPLOY, cycle(when)) == ([], [])


def test_one_whose_moment_never_comes_is_told_as_never_asked_for() -> None:
    told, never = late(DEPLOY, cycle(OnTold("web", "error", after_s=60)))
    assert told == []
    assert never == [
        "power n2 was never asked for, its moment never came: when web is told to be error, 60 s later"
    ]
