"""Plays a story on a stage: requests and faults at their moments, invariants all the time, then healing."""

from __future__ import annotations

import asyncio
from random import Random

from scenarios.runner.asking import Asking, end
from scenarios.runner.breaking import Breaking
from scenarios.runner.client import MAINTENANCE_REASON, Client
from scenarios.runner.deadlines import Deadlines
from scenarios.runner.expecting import Expecting
from scenarios.runner.invariants import INVARIANTS, Invariant, Look
from scenarios.runner.moments import Moments
from scenarios.runner.rest import restless
from scenarios.runner.stage import BadAnswer, LabTrouble, NoAnswer, Stage
from scenarios.runner.story import Story
from scenarios.runner.trace import Event
from scenarios.runner.verdict import Breach


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
        self._shown: dict[str, list[Invariant]] = {}
        """By the source of an event, to whom it is shown."""
        for invariant in self._invariants:
            for source in invariant.sources:
                self._shown.setdefault(source, []).append(invariant)
        self._asking = Asking(story, stage, self._client, self._moments, deadlines)
        self._breaking = Breaking(story, stage, self._moments)
        self._expecting = Expecting(story, stage, self._client, self._asking, self._breaking, deadlines)
        self._healed_s: float | None = None
        self._cleaned: set[str] = set()
        """Nodes that the operator had cleaned after all had healed: once each."""
        self._mendings: list[asyncio.Task[None]] = []
        """What the operator does about nodes after that."""
        stage.trace.listen(self._judge)

    async def play(self) -> None:
        """Raises LabTrouble when the lab broke, or when something was never asked for, or never struck, that
        the story is about."""
        try:
            await self._play()
        except NoAnswer as silence:
            if self._healed_s is None or silence.since_s < self._healed_s:
                silence.breaches = self._before(silence)
                raise
            # Nothing was wrong with the lab any more.
            self._break_promise("deadline", [f"everything had healed, and there was {silence}"])
        except LabTrouble as trouble:
            trouble.breaches = trouble.breaches or self._before(trouble)
            raise

    def _before(self, trouble: LabTrouble) -> tuple[Breach, ...]:
        """What devices had shown when the lab broke: that explains none of it. What came later, what ended
        late or unexpectedly, it may."""
        if trouble.at_s is None:
            trouble.at_s = self._stage.now_s()
        names = {invariant.name for invariant in self._invariants}
        return tuple(one for one in self.breaches if one.promise in names and one.at_s < trouble.at_s)

    async def _play(self) -> None:
        missed: list[str] = []
        try:
            await self._breaking.begin_before_all()
            await self._client.prepare()
            self._moments.begin()
            self._breaking.begin()
            self._asking.begin()
            await self._asking.within(self._story.safety_s)
            await self._breaking.heal_all()
            self._healed_s = healed_s = self._stage.now_s()
            await self._repair()
            self._break_promise("deadline", await self._asking.late())
            never_asked = self._asking.never_asked()
            self._break_promise("expectation", await self._expecting.failed())
            await asyncio.gather(*self._mendings)
            if not self.breaches:
                given = self._story, self._stage, self._client, self._deadlines
                self._break_promise("deadline", await restless(*given))
            missed = await self._expecting.missed(healed_s)
            # What goes on in the background after the last request has ended is given its time.
            await self._stage.sleep(self._deadlines.settle_s)
            self._break_promise("expectation", self._expecting.switched_wrongly())
        finally:
            await self._breaking.end()
            await end((*self._asking.tasks, *self._mendings))
        await self._stage.settled()
        for invariant in self._invariants:
            self.breaches += invariant.end(self._stage.now_s(), self._look)
        # What the story expects beside that, it expects of its faults.
        never_struck = self._expecting.never_struck()
        if not never_struck:
            self._break_promise("expectation", missed)
        # A promise that was broken may be why no moment came for what was to follow.
        if unproven := [*never_struck, *never_asked]:
            mend = ": strike where the fault is met, or say may_miss: true" if never_struck else ""
            trouble = LabTrouble(f"{'; '.join(unproven)}: the story proves nothing{mend}")
            trouble.breaches = tuple(self.breaches)
            raise trouble

    async def _repair(self) -> None:
        """Nodes that failed to clean, or were taken out of service for a fault of theirs, are the operator's:
        with their hardware well they are cleaned again, and put back."""
        for node in self._story.nodes:
            await self._mend(node.name)

    async def _mend(self, node: str) -> None:
        try:
            view = await self._client.look_at_node(node)
        except BadAnswer as error:
            self._break_promise("expectation", [str(error)])
            return
        if view["state"] == "clean_failed" and node not in self._cleaned:
            self._cleaned.add(node)
            await self._client.clean(node)
        if view["maintenance"] and view["maintenance_reason"] != MAINTENANCE_REASON:
            await self._client.put_back(node)

    def _judge(self, event: Event) -> None:
        self._mend_again(event)
        shown = self._shown.get(event.source)
        if shown is not None:
            index = len(self._stage.trace) - 1
            for invariant in shown:
                self.breaches += invariant.see(index, event, self._look)

    def _mend_again(self, event: Event) -> None:
        """One whose attempt was under way when all healed, and failed by what it had lost before."""
        if self._healed_s is None or (event.source, event.name) != ("node", "state"):
            return
        if event.detail["state"] in ("clean_failed", "available"):
            self._mendings.append(asyncio.create_task(self._mend(event.node)))

    def _break_promise(self, promise: str, told: list[str]) -> None:
        now_s = self._stage.now_s()
        self.breaches += [Breach(promise=promise, what=what, at_s=now_s) for what in told]
