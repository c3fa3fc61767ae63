"""What a story expects at its end, beside what holds in every story."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from scenarios.runner.asking import Asked, Asking, end
from scenarios.runner.breaking import Breaking
from scenarios.runner.client import CLEANED, Client
from scenarios.runner.deadlines import Deadlines
from scenarios.runner.excusing import (
    cleanings_given_up,
    is_excused,
    is_refused_rightly,
    moves_without_reason,
    told_failure,
)
from scenarios.runner.moments import fits
from scenarios.runner.stage import BadAnswer, Stage
from scenarios.runner.story import Counted, Delete, Deploy, Expected, Maintenance, Outcome, Power, Story
from scenarios.runner.switching import Switched, wrong_end

NO_GOOD_END = (Outcome.ERROR, "refused")
"""What a story may expect of a deploy in the place of the end that all have."""

GOOD_ENDS = (*CLEANED, "", "done")
"""Of a deletion, of one whose instance never had a node, and of maintenance."""

TOLD_LATE_S = 1.0
"""On machines journals and devices are read a moment later than the client hears how its request ended."""

LOOK_EVERY_S = 1.0


class Expecting:
    """Asked once, when every request has ended or was given its time."""

    def __init__(
        self,
        story: Story,
        stage: Stage,
        client: Client,
        asking: Asking,
        breaking: Breaking,
        deadlines: Deadlines,
    ) -> None:
        self._story = story
        self._stage = stage
        self._client = client
        self._asking = asking
        self._breaking = breaking
        self._deadlines = deadlines

    def never_struck(self) -> list[str]:
        """A sentence for each fault of the story that did nothing, or not each time that it was to."""
        told = []
        for one in self._story.expected:
            if one.struck and (times := self._breaking.times_struck(one.struck, one.node)) < one.times:
                fault = f"the fault {one.struck}{f' at {one.node}' if one.node else ''}"
                if times:
                    told.append(f"{fault} changed something {times} times of {one.times} alone")
                elif self._breaking.begun(one.struck, one.node):
                    told.append(f"{fault} never changed anything")
                else:
                    told.append(f"{fault} never changed anything, for its moment never came")
        return told

    async def failed(self) -> list[str]:
        """A sentence for each request that didn't end as all do of which the story says nothing else."""
        told: list[str] = []
        if self._story.struck_may_fail:
            await self._stage.sleep(TOLD_LATE_S)
        special = {expected.instance for expected in self._story.expected if expected.outcome in NO_GOOD_END}
        leaving = self._asked_to_leave()
        for asked in self._asking:
            if asked.ended_s is None:
                continue
            if asked.bad_answer:
                told.append(f"{asked.label}: {asked.bad_answer}")
            elif isinstance(asked.request, Deploy) and asked.request.instance not in special:
                # One that was deleted on its way was not to become active any more.
                leaves = (Outcome.DELETED,) if asked.request.instance in leaving else ()
                if asked.outcome not in (Outcome.ACTIVE, *leaves) and not self._excused(asked):
                    refusal = self._refusal(asked.request)
                    cause = refusal or await self._failure(asked.request, asked.ended_s)
                    told.append(f"{asked.label} ended {asked.outcome}: {cause}")
            elif isinstance(asked.request, Delete) and asked.outcome == "clean_failed":
                told += await self._cleaned_after_all(asked)
            elif isinstance(asked.request, Delete | Maintenance) and asked.outcome not in GOOD_ENDS:
                told.append(f"{asked.label} was {asked.outcome}")
        trace = self._stage.trace
        return [*told, *cleanings_given_up(trace), *moves_without_reason(self._story, trace)]

    def switched_wrongly(self) -> list[str]:
        """A sentence for each request for power that ended as none may. Asked when logs of devices are here,
        which on machines are read a moment later than the client's answers."""
        switched: list[Switched] = []
        for asked in self._asking:
            if isinstance(asked.request, Power) and asked.outcome:
                assert asked.asked_s is not None and asked.ended_s is not None
                times = (asked.asked_s, asked.ended_s)
                switched.append(Switched(asked.label, asked.request, *times, asked.outcome))
        told = list[str]()
        for one in switched:
            node = self._story.node(one.request.node)
            if why := wrong_end(node, self._stage.trace, one, switched):
                told.append(f"{one.label} {one.request.verb} was {why}")
        return told

    def _asked_to_leave(self) -> set[str]:
        """Instances whose deletion somebody asked for."""
        return {
            asked.request.instance
            for asked in self._asking
            if isinstance(asked.request, Delete) and asked.asked_s is not None
        }

    async def missed(self, healed_s: float) -> list[str]:
        """A sentence for each of the story's own that isn't so. healed_s: when everything had healed."""
        told: list[str] = []
        since_s = max((asked.asked_s or 0.0 for asked in self._asking), default=0.0)
        for expected in self._story.expected:
            try:
                told += await self._missed(expected, max(since_s, healed_s))
            except BadAnswer as error:
                told.append(str(error))
        return told

    def _excused(self, asked: Asked) -> bool:
        """Whether it ended in error, or was refused, and the story excuses that."""
        if not self._story.struck_may_fail or asked.ended_s is None:
            return False
        assert isinstance(asked.request, Deploy)
        if asked.outcome == "refused":
            return is_refused_rightly(self._stage.trace, asked.request.image)
        trace, instance = self._stage.trace, asked.request.instance
        return asked.outcome == "error" and is_excused(self._story, trace, instance, asked.ended_s)

    async def _cleaned_after_all(self, asked: Asked) -> list[str]:
        """A node that failed to clean is cleaned again when all has healed: the operator has begun it."""
        assert isinstance(asked.request, Delete)
        node = self._client.node_of(asked.request.instance)
        cleaning = asyncio.create_task(self._client.node_becomes(node, *CLEANED))
        waiting = asyncio.create_task(self._stage.sleep(self._deadlines.of(asked.request)))
        await asyncio.wait((cleaning, waiting), return_when=asyncio.FIRST_COMPLETED)
        await end((waiting,))
        if cleaning.done():
            error = cleaning.exception()
            if error is not None and not isinstance(error, BadAnswer):
                raise error
            return [] if error is None else [f"{asked.label} left its node {asked.outcome}: {error}"]
        await end((cleaning,))
        return [f"{asked.label} left its node {asked.outcome}"]

    def _refusal(self, request: Deploy) -> str:
        """By which name the API refused it; empty: it didn't."""
        refused = (
            event.detail["problem"]
            for event in self._stage.trace
            if (event.source, event.name) == ("request", "refused")
            and event.detail.get("instance") == request.instance
        )
        return next(refused, "")

    async def _failure(self, request: Deploy, told_s: float) -> str:
        view = (await self._stage.call("GET", f"/v1/instances/{request.instance}")).body
        failure = view.get("failure") or {}
        if not failure:
            # What failed in a story that excuses it is deleted at once.
            code, node = told_failure(self._stage.trace, request.instance, told_s)
            return f"{code} on {node}, the client was told" if code else "no failure was told"
        message, cause = failure.get("message", ""), failure.get("likely_cause", "")
        return message if cause in message else f"{message}; {cause}"

    async def _missed(self, expected: Expected, since_s: float) -> list[str]:
        missed: list[str] = []
        if expected.instance and expected.outcome:
            missed += await self._missed_by_instance(expected)
        if expected.counted is not None:
            await self._seen_often(expected.counted)
            missed += self._miscounted(expected.counted)
        if expected.node and expected.state:
            view = await self._client.look_at_node(expected.node)
            if view["state"] != expected.state:
                missed.append(f"node {expected.node} is {view['state']}, not {expected.state}")
            elif expected.within:
                missed += self._too_late(expected, since_s)
        return missed

    def _too_late(self, expected: Expected, since_s: float) -> Iterator[str]:
        allowed_s = self._deadlines.called(expected.within)
        became = [
            event.t_s
            for event in self._stage.trace
            if (event.source, event.name, event.node) == ("node", "state", expected.node)
            and event.detail["state"] == expected.state
        ]
        if became and became[-1] > since_s + allowed_s:
            late = f"after {became[-1] - since_s:.0f} s; {allowed_s:.0f} s are allowed"
            yield f"node {expected.node} was {expected.state} {late}"

    async def _seen_often(self, counted: Counted) -> None:
        """What the last request has brought about may still be on its way, a machine's boot for instance."""
        until_s = self._stage.now_s() + self._deadlines.power_s
        while self._times_seen(counted) < counted.at_least and self._stage.now_s() < until_s:
            await self._stage.sleep(LOOK_EVERY_S)

    def _times_seen(self, counted: Counted) -> int:
        return sum(fits(event, counted.event) for event in self._stage.trace)

    def _miscounted(self, counted: Counted) -> Iterator[str]:
        found = self._times_seen(counted)
        if found >= counted.at_least and (counted.at_most is None or found <= counted.at_most):
            return
        bounds = f"at least {counted.at_least}"
        if counted.at_most is not None:
            bounds += f" and at most {counted.at_most}"
        of = f" of {counted.event.node}" if counted.event.node else ""
        yield f"{counted.event.source} {counted.event.name}{of} was seen {found} times, not {bounds}"

    async def _missed_by_instance(self, expected: Expected) -> list[str]:
        deploys = [
            asked
            for asked in self._asking
            if isinstance(asked.request, Deploy) and asked.request.instance == expected.instance
        ]
        if any(asked.asked_s is None or asked.bad_answer for asked in deploys):
            return []  # that is told already: there is no instance to look at
        refused = any(asked.outcome == "refused" for asked in deploys)
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
