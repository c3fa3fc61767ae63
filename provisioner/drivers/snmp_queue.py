"""One message at a time to each PDU, and what several ask of it in one.

PDUs are small computers: asked by many at once, they lose messages. So whatever is asked while a message is
under way is read by the next one: a rack that switches twenty outlets asks for twenty states in two messages.

Whoever asks can't wait for longer than a command may take, and a slow PDU's answer may come after that. Such
an answer isn't lost: the message stays under way, nothing else is sent meanwhile, and who asks again is given
it. To ask anew would leave the PDU with one message more that nobody waits for, and all others the later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from provisioner.core.errors import DeviceBusy, DeviceRefused, DeviceUnreachable, ProvisionerError
from provisioner.core.pdu_pace import MESSAGE_S
from provisioner.core.pdus.families import family_of
from provisioner.core.pdus.family import SYS_OBJECT_ID, Family, Oid
from provisioner.drivers.outlet_tries import LATELY_S
from provisioner.drivers.snmp_asks import Command, Reading, UnderWay
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import Agent, Messages, Value, no_answer
from provisioner.drivers.snmp_standings import Standing, Standings

T = TypeVar("T")

MOST_OBJECTS = 16
"""In one message: with their values below 484 bytes, which every agent takes (RFC 3417 §3.2)."""

KEPT_S = 10.0
"""An answer, for who has asked and isn't there. Tries follow each other in 5 s at most."""

BEFORE_S = 1.0
"""What a read may take besides its answer: to look up a name, which a resolver may never end."""

COMMANDS_SHARE = 0.8
"""Of a call's time, what is kept for the message of a command; the rest it may wait for its turn."""


class PduQueue:
    """Of one PDU, whoever asks it. longest_s: what a call may take. chance: evenly from 0 to 1."""

    def __init__(
        self, agent: Agent, messages: Messages, *, longest_s: float, chance: Callable[[], float]
    ) -> None:
        self.agent = agent
        self._messages = messages
        self._longest_s = longest_s
        self._chance = chance
        self._standings = Standings()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._taken = False
        self._commands: list[Command] = []
        self._readings: dict[Hashable, Reading] = {}
        self._reader: asyncio.Task[None] | None = None
        self._under_way: UnderWay | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._family: Family | None = None
        self._asked_s = float("-inf")  # for its family

    async def family(self, credentials: Credentials, *, refused: Family | None = None) -> Family:
        """By its sysObjectID, asked for once. Raises DeviceRefused when it belongs to none.

        refused: whose objects it turned out not to have: unless it was asked lately, another PDU may stand in
        its place by now, and it is asked anew; by the next try, where there is no time for it in this one.
        """
        loop = asyncio.get_running_loop()
        if self._family is refused and loop.time() >= self._asked_s + LATELY_S:
            self._family = None
        if self._family is None:
            tried = "find out its family"
            (system,) = await self.read(tried, credentials, [SYS_OBJECT_ID], by=self)
            self._family = family_of(system) if isinstance(system, tuple) else None
            self._asked_s = loop.time()
            if self._family is None:
                called = ".".join(map(str, system)) if isinstance(system, tuple) else str(system)
                raise DeviceRefused(
                    tried,
                    device=self.agent.name,
                    answer=f"it calls itself {called}, which no family is known by",
                    advice="Set power.family, or add the family (docs/pdus.md)",
                )
        return self._family

    async def read(
        self, tried: str, credentials: Credentials, oids: Sequence[Oid], *, by: object
    ) -> list[Value]:
        """Raises as `Messages`. Waits for as long as it takes: who leaves before that, and asks the same
        again soon, is given the answer to what it asked first.

        by: who asks. Nobody else is given its answers.
        """
        self._begin()
        key = (id(by), credentials, tuple(oids))
        reading = self._readings.get(key)
        if reading is None:
            reading = Reading(tried, by, credentials, oids, asyncio.get_running_loop().create_future())
            self._readings[key] = reading
        reading.kept_until_s = None
        self._next()
        self._hurry()
        try:
            answer = await asyncio.shield(reading.answer)
        except asyncio.CancelledError:
            reading.kept_until_s = self._time_s() + KEPT_S
            raise
        if self._readings.get(key) is reading:
            del self._readings[key]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def forget(self, by: object) -> None:
        """What `by` has asked: it is about to change it."""
        self._readings = {key: one for key, one in self._readings.items() if one.by is not by}

    @asynccontextmanager
    async def turn(self, tried: str, credentials: Credentials, until_s: float) -> AsyncIterator[None]:
        """For a command by `set`. Raises as `late` when it wouldn't have the time for its answer then.

        until_s: when it is to have ended, by the loop's clock
        """
        self._begin()
        begin_by_s = until_s - self._command_s()
        if self._time_s() > begin_by_s:
            raise self.late(tried, credentials)
        mine = Command(credentials, asyncio.get_running_loop().create_future())
        self._commands.append(mine)
        self._next()
        self._hurry()
        try:
            async with asyncio.timeout_at(begin_by_s):
                await mine.turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if mine.turn.done() and not mine.turn.cancelled():
                self._pass_on()  # it came as we left
            if isinstance(error, asyncio.CancelledError):
                raise
            raise self.late(tried, credentials) from error
        finally:
            if mine in self._commands:
                self._commands.remove(mine)
        try:
            yield
        finally:
            self._pass_on()

    async def set(
        self, tried: str, credentials: Credentials, oid: Oid, value: int, *, until_s: float
    ) -> None:
        """In its `turn`. Raises as `Messages`."""
        standing = self._standings.of(credentials)
        timeout_s = self._standings.give_up_s(standing, others_wait=self._others_wait(credentials))
        timeout_s = min(timeout_s, until_s - self._time_s())
        message = self._messages.set(tried, self.agent, credentials, oid, value, timeout_s=timeout_s)
        await self._heard(message, standing)

    def late(self, tried: str, credentials: Credentials) -> DeviceUnreachable | DeviceBusy:
        """The error for who can't wait any longer: whether the PDU is silent to them, or answers others."""
        standing = self._standings.of(credentials)
        since_s = self._standings.silent_since_s(standing)
        silent_s = self._time_s() - since_s if since_s is not None else 0.0
        if since_s is not None and silent_s >= min(MESSAGE_S, self._longest_s - 0.2):
            answer = f"no answer in {silent_s:.1f} s"
            return DeviceUnreachable(tried, device=self.agent.name, answer=answer, advice=standing.advice)
        answer_s, advice = self._standings.pace.answer_s, "Raise power.snmp_timeout_s"
        if not answer_s:
            answer, advice = "others ask it too, and it hasn't answered yet", standing.advice
        else:
            answer = f"others ask it too, and its answers take {answer_s:.1f} s"
            if answer_s <= self._longest_s:
                advice = "If it goes on, raise power.snmp_timeout_s"
        return DeviceBusy(tried, device=self.agent.name, answer=answer, advice=advice)

    def _begin(self) -> None:
        """What was under way in another loop has ended with it."""
        if self._loop is not asyncio.get_running_loop():
            self._loop = asyncio.get_running_loop()
            self._taken = False
            self._commands, self._readings = [], {}
            self._under_way = self._wake = None
            self._standings.forget_silence(self._time_s())
        now_s = self._time_s()
        self._readings = {key: one for key, one in self._readings.items() if not one.stale(now_s)}

    def _command_s(self) -> float:
        """What the message of a command is given: it isn't sent when less is left. Of a PDU that takes more
        than its share of a call it is that share: such a one may serve it after the call."""
        return min(max(MESSAGE_S, 1.1 * self._standings.pace.answer_s), COMMANDS_SHARE * self._longest_s)

    def _next(self) -> None:
        """Gives the turn to whoever is next, unless somebody has it."""
        if self._taken:
            return
        # Commands first: those who want to know their outcome come together meanwhile.
        waiting = self._waiting()
        standings = [self._standings.of(one.credentials) for one in waiting]
        place = self._standings.first(standings, self._time_s())
        if place is None:
            if standings:
                self._wake_at(min(one.not_before_s for one in standings))
            return
        self._taken = True
        first = waiting.pop(place)
        if isinstance(first, Command):
            first.turn.set_result(None)
            return
        others = [one for one in waiting if isinstance(one, Reading)]
        self._reader = asyncio.get_running_loop().create_task(
            self._read(first, others), name=f"ask {self.agent.name}"
        )

    def _waiting(self) -> list[Command | Reading]:
        now_s = self._time_s()
        commands = [one for one in self._commands if not one.turn.done()]
        readings = [one for one in self._readings.values() if not one.answer.done() and not one.stale(now_s)]
        return [*commands, *readings]

    def _others_wait(self, credentials: Credentials) -> bool:
        """Who may be answered sooner. Two in doubt would keep a slow PDU from ever answering either."""
        others = (one.credentials for one in self._waiting() if one.credentials != credentials)
        return any(self._standings.promises(self._standings.of(other)) for other in others)

    def _wake_at(self, when_s: float) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake = asyncio.get_running_loop().call_at(when_s, self._next)

    def _hurry(self) -> None:
        """Others have come: credentials in doubt are no longer given what they are when nobody waits."""
        under_way = self._under_way
        if under_way is None or not self._others_wait(under_way.credentials):
            return
        standing = self._standings.of(under_way.credentials)
        until_s = under_way.sent_s + self._standings.give_up_s(standing, others_wait=True)
        if self._standings.in_doubt(standing):
            under_way.end_by(until_s)

    def _pass_on(self) -> None:
        pace = self._standings.pace
        pause_s = pace.pause_s(self._chance()) if pace.pauses else 0.0
        if pause_s:
            asyncio.get_running_loop().call_later(pause_s, self._resume)
        else:
            self._resume()

    def _resume(self) -> None:
        self._taken = False
        self._next()

    async def _read(self, first: Reading, others: Sequence[Reading]) -> None:
        """It, and in the same message those of the others that there is room for."""
        together = [first]
        for other in others:
            objects = sum(len(one.oids) for one in together)
            if other.credentials == first.credentials and objects + len(other.oids) <= MOST_OBJECTS:
                together.append(other)
        try:
            try:
                values = await self._ask(together)
            except (DeviceRefused, DeviceBusy):
                if len(together) == 1:
                    raise
                # One of them was to blame, and who is will be told when it asks for itself.
                together = [first]
                values = await self._ask(together)
        except Exception as error:  # noqa: BLE001 - a defect is told to who asked, as all else
            self._settle(first, error)
        else:
            for one in together:
                mine, values = values[: len(one.oids)], values[len(one.oids) :]
                self._settle(one, mine)
        finally:
            self._pass_on()

    def _settle(self, reading: Reading, answer: list[Value] | Exception) -> None:
        if not reading.answer.done():
            reading.answer.set_result(answer)

    async def _ask(self, together: Sequence[Reading]) -> list[Value]:
        oids = [oid for one in together for oid in one.oids]
        first = together[0]
        standing = self._standings.of(first.credentials)
        timeout_s = self._standings.give_up_s(standing, others_wait=self._others_wait(first.credentials))
        message = self._messages.get(first.tried, self.agent, first.credentials, oids, timeout_s=timeout_s)
        return await self._heard(self._bounded(message, first, timeout_s + BEFORE_S), standing)

    async def _bounded(self, message: Awaitable[T], first: Reading, longest_s: float) -> T:
        """Nobody may be left to end a read that all who asked for it have left."""
        sent_s = self._time_s()
        try:
            async with asyncio.timeout(longest_s) as deadline:
                self._under_way = UnderWay(first.credentials, sent_s, deadline)
                try:
                    return await message
                finally:
                    self._under_way = None
        except TimeoutError as error:
            silent_s = round(self._time_s() - sent_s, 1)
            raise no_answer(first.tried, self.agent, first.credentials, silent_s) from error

    async def _heard(self, message: Awaitable[T], standing: Standing) -> T:
        """One message, and what its answer says of the PDU's pace."""
        sent_s = self._time_s()
        self._standings.sent(standing, sent_s)
        try:
            answer = await message
        except (DeviceUnreachable, asyncio.CancelledError) as error:
            self._standings.silent(standing, self._time_s(), self._chance())
            if isinstance(error, DeviceUnreachable):
                standing.advice = error.advice
            raise
        except ProvisionerError:  # it has answered
            self._standings.answered(standing, sent_s, self._time_s())
            raise
        except Exception:  # a defect, which says nothing of the PDU
            standing.silent_since_s = None
            raise
        self._standings.answered(standing, sent_s, self._time_s())
        return answer

    def _time_s(self) -> float:
        return asyncio.get_running_loop().time()
