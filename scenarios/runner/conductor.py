"""Plays a story on a stage: requests and faults at their moments, invariants all the time, then healing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from scenarios.runner.client import CLEANED, Client
from scenarios.runner.deadlines import Deadlines
from scenarios.runner.invariants import INVARIANTS, Look
from scenarios.runner.moments import Moments, fits
from scenarios.runner.stage import LabTrouble, Order, Stage
from scenarios.runner.story import (
    AtTime,
    Counted,
    Delete,
    Deploy,
    Expected,
    Maintenance,
    OnTold,
    Power,
    Request,
    Story,
    Strike,
)
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach


@dataclass(slots=True)
class _Asked:
    """A request on its way. ended_s: when; outcome: how."""

    request: Request
    asked_s: float | None = None
    ended_s: float | None = None
    outcome: str = ""
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        request = self.request
        subject = request.instance if isinstance(request, Deploy | Delete) else request.node
        return f"{type(request).__name__.lower()} {subject}"


class Conductor:
    """One for each playing of a story. `breaches` grows while it plays."""

    def __init__(self, story: Story, stage: Stage, look: Look, deadlines: Deadlines, random: Random) -> None:
        self.breaches: list[Breach] = []
        self._story = story
        self._stage = stage
        self._look = look
        self._deadlines = deadlines
        self._client = Client(stage, story)
        self._moments = Moments(stage, random)
        self._invariants = [make() for make in INVARIANTS]
        self._asked = [_Asked(request) for request in story.requests]
        self._injected: list[Order] = []
        stage.trace.listen(self._judge)

    async def play(self) -> None:
        """Raises LabTrouble when the lab broke."""
        # An image that is broken from the beginning is so before it is brought.
        first = [one for one in self._story.strikes if one.image and one.when == AtTime(0)]
        striking = [asyncio.create_task(self._heals(one, await self._break(one))) for one in first]
        await self._client.prepare()
        self._moments.begin()
        striking += [
            asyncio.create_task(self._strike(strike)) for strike in self._story.strikes if strike not in first
        ]
        for asked in self._asked:
            asked.task = asyncio.create_task(self._ask(asked), name=asked.label)
        try:
            await self._within(self._story.safety_s)
            for task in striking:
                task.cancel()
            await asyncio.gather(*striking, return_exceptions=True)
            _raise_trouble(striking)
            await self._heal_all()
            await self._repair()
            await self._each_ends()
            await self._expectations()
            # What goes on in the background after the last request has ended is given its time.
            await self._stage.sleep(self._deadlines.settle_s)
        finally:
            await _end([*striking, *(asked.task for asked in self._asked if asked.task is not None)])
        await self._stage.settled()
        for invariant in self._invariants:
            self.breaches += invariant.end(self._stage.now_s(), self._look)

    # --- requests ------------------------------------------------------------------------------

    async def _ask(self, asked: _Asked) -> None:
        request = asked.request
        if isinstance(request, Delete) and self._story.struck_may_fail:
            await self._given_back(request)
        else:
            await self._moments.comes(request.when)
        asked.asked_s = self._stage.now_s()
        match request:
            case Deploy():
                asked.outcome = await self._client.deploy(request)
            case Delete():
                asked.outcome = await self._client.delete(request)
            case Power():
                asked.outcome = await self._client.power(request)
            case Maintenance():
                asked.outcome = await self._client.maintenance(request)
        asked.ended_s = self._stage.now_s()

    async def _given_back(self, request: Delete) -> None:
        """When its moment comes; at once when its deploy has failed: others may wait for its node."""
        moments = (request.when, OnTold(request.instance, "error"))
        waiting = [asyncio.create_task(self._moments.comes(moment)) for moment in moments]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(waiting)

    async def _within(self, duration_s: float) -> None:
        """Until every request has ended, or for so long."""
        tasks = [asked.task for asked in self._asked if asked.task is not None]
        waiting = asyncio.create_task(self._stage.sleep(duration_s))
        every = asyncio.gather(*tasks)
        try:
            await asyncio.wait((waiting, every), return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            waiting.cancel()
            if not every.done():
                # Not `every.cancel()`: the requests go on.
                every.add_done_callback(lambda gathered: gathered.cancelled() or gathered.exception())

    async def _repair(self) -> None:
        """Nodes that failed to clean are the operator's: with their hardware well they are cleaned again."""
        for node in self._story.nodes:
            view = await self._client.look_at_node(node.name)
            if view["state"] == "clean_failed":
                await self._client.clean(node.name)

    async def _each_ends(self) -> None:
        healed_s = self._stage.now_s()
        for asked in self._asked:
            if asked.asked_s is None:
                continue  # its moment never came
            if asked.ended_s is None:
                begun_s = max(healed_s, asked.asked_s or 0.0)
                allowed_s = self._deadlines.of(asked.request)
                await self._until_ended(asked, begun_s + allowed_s)
            if asked.ended_s is None:
                self._breach(
                    "deadline",
                    f"{asked.label} had not ended {allowed_s:.0f} s after everything had healed: "
                    f"{await self._where(asked.request)}",
                )

    async def _until_ended(self, asked: _Asked, end_s: float) -> None:
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
                return f"instance {answer.body['state']}, step {work.get('step', 'none')}"
        return "no answer"

    # --- faults --------------------------------------------------------------------------------

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
        await self._stage.inject(order)
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

    async def _heal_all(self) -> None:
        for order in tuple(self._injected):
            await self._heal(order)

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

    # --- judging -------------------------------------------------------------------------------

    def _judge(self, event: Event) -> None:
        index = len(self._stage.trace) - 1
        for invariant in self._invariants:
            self.breaches += invariant.see(index, event, self._look)

    def _breach(self, promise: str, what: str) -> None:
        self.breaches.append(Breach(promise=promise, what=what, at_s=self._stage.now_s()))

    async def _expectations(self) -> None:
        special = {expected.instance for expected in self._story.expected if expected.outcome}
        for asked in self._asked:
            if asked.ended_s is None:
                continue
            if isinstance(asked.request, Deploy) and asked.request.instance not in special:
                # One that was deleted on its way was not to become active any more.
                if asked.outcome not in ("active", "deleted") and not self._excused(asked):
                    cause = await self._failure(asked.request)
                    self._breach("expectation", f"{asked.label} ended {asked.outcome}: {cause}")
            elif isinstance(asked.request, Delete) and asked.outcome not in (*CLEANED, ""):
                await self._expect_clean(asked)
        for expected in self._story.expected:
            for complaint in await self._missed(expected):
                self._breach("expectation", complaint)

    def _excused(self, asked: _Asked) -> bool:
        """Whether its node was struck, and the client was told what failed."""
        if not self._story.struck_may_fail or asked.outcome != "error":
            return False
        struck = {strike.node for strike in self._story.strikes if strike.node}
        assert isinstance(asked.request, Deploy)
        name = asked.request.instance
        return any(
            event.source == "client"
            and event.detail.get("instance") == name
            and event.detail.get("failure")
            and event.node in struck
            for event in self._stage.trace
        )

    async def _expect_clean(self, asked: _Asked) -> None:
        """A node that failed to clean is cleaned again when all has healed; also one whose attempt was under
        way then, and failed by what it had lost before."""
        assert isinstance(asked.request, Delete)
        node = self._client.node_of(asked.request.instance)
        if (await self._client.look_at_node(node))["state"] == "clean_failed":
            await self._client.clean(node)
        cleaning = asyncio.create_task(self._client.node_becomes(node, *CLEANED))
        waiting = asyncio.create_task(self._stage.sleep(self._deadlines.of(asked.request)))
        await asyncio.wait((cleaning, waiting), return_when=asyncio.FIRST_COMPLETED)
        await _end((waiting,))
        if not cleaning.done():
            await _end((cleaning,))
            self._breach("expectation", f"{asked.label} left its node {asked.outcome}")

    async def _failure(self, request: Deploy) -> str:
        view = (await self._stage.call("GET", f"/v1/instances/{request.instance}")).body
        failure = view.get("failure") or {}
        return f"{failure.get('message', 'no failure was told')}; {failure.get('likely_cause', '')}"

    async def _missed(self, expected: Expected) -> Iterable[str]:
        missed = []
        if expected.struck and not self._struck(expected.struck):
            raise LabTrouble(f"the fault {expected.struck} never struck: the story proves nothing")
        if expected.instance and expected.outcome:
            missed += await self._missed_by_instance(expected)
        if expected.counted is not None:
            missed += self._miscounted(expected.counted)
        if expected.node and expected.state:
            view = await self._client.look_at_node(expected.node)
            if view["state"] != expected.state:
                missed.append(f"node {expected.node} is {view['state']}, not {expected.state}")
        return missed

    def _miscounted(self, counted: Counted) -> list[str]:
        found = sum(fits(event, counted.event) for event in self._stage.trace)
        if found >= counted.at_least and (counted.at_most is None or found <= counted.at_most):
            return []
        bounds = f"at least {counted.at_least}"
        if counted.at_most is not None:
            bounds += f" and at most {counted.at_most}"
        of = f" of {counted.event.node}" if counted.event.node else ""
        return [f"{counted.event.source} {counted.event.name}{of} was seen {found} times, not {bounds}"]

    async def _missed_by_instance(self, expected: Expected) -> list[str]:
        refused = any(
            isinstance(asked.request, Deploy)
            and asked.request.instance == expected.instance
            and asked.outcome == "refused"
            for asked in self._asked
        )
        if refused or expected.outcome == "refused":
            return [] if refused == (expected.outcome == "refused") else [f"{expected.instance}: {refused=}"]
        view = await self._client.look_at_instance(expected.instance)
        failure = view.get("failure") or {}
        wanted = {
            "state": (expected.outcome, view["state"]),
            "failure": (expected.failure, failure.get("code", "")),
            "likely cause": (expected.cause, failure.get("likely_cause", "")),
            "last proven": (expected.last_proven, failure.get("last_proven", "")),
        }
        return [
            f"the {what} of {expected.instance} is {found!r}, which has nothing of {part!r}"
            for what, (part, found) in wanted.items()
            if part not in found
        ]

    def _struck(self, fault: str) -> bool:
        return any(
            event.source == "fault"
            and event.name in ("struck", "injected")
            and event.detail.get("fault") == fault
            for event in self._stage.trace
        )


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _raise_trouble(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error
