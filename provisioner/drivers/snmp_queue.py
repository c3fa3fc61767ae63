"""One message at a time to each PDU, and what several ask of it in one.

PDUs are small computers: asked by many at once, they lose messages. So whoever has its turn reads for all who
wait: a rack that switches twenty outlets asks for twenty states in two messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from provisioner.core.errors import DeviceBusy, DeviceRefused
from provisioner.core.pdus.families import family_of
from provisioner.core.pdus.family import SYS_OBJECT_ID, Family, Oid
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import Agent, Messages, Value

QUEUE_S = 1.3
"""How long a command waits for its turn; then the PDU counts as busy."""

MOST_OBJECTS = 16
"""In one message: with their values below 484 bytes, which every agent takes (RFC 3417 §3.2)."""

LATELY_S = 30.0
"""Tries of one command follow each other faster, and nobody replaces a PDU in that time."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """done: True when its turn has come, False when somebody has read for it."""

    done: asyncio.Future[bool]
    credentials: Credentials | None = None  # of a reader
    oids: Sequence[Oid] = ()
    values: list[Value] = field(default_factory=list)


class PduQueue:
    """Of one PDU, whoever asks it."""

    def __init__(self, agent: Agent, messages: Messages) -> None:
        self.agent = agent
        self._messages = messages
        self._taken = False
        self._waiting: list[_Waiting] = []
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
            (system,) = await self.read(tried, credentials, [SYS_OBJECT_ID])
            self._family = family_of(system) if isinstance(system, tuple) else None
            self._asked_s = loop.time()
            if self._family is None:
                called = ".".join(map(str, system)) if isinstance(system, tuple) else str(system)
                raise DeviceRefused(
                    tried,
                    device=self.agent.name,
                    answer=f"it calls itself {called}, which no family is known by",
                    advice="Set power.family, or add the family (docs/contributing.md)",
                )
        return self._family

    async def read(self, tried: str, credentials: Credentials, oids: Sequence[Oid]) -> list[Value]:
        """Raises as `Messages`; DeviceBusy when others are before it for longer than QUEUE_S."""
        mine = _Waiting(asyncio.get_running_loop().create_future(), credentials, oids)
        async with self._turn(tried, mine) as has_turn:
            if has_turn:
                await self._read_for_all(tried, mine, credentials)
            return mine.values

    async def write(self, tried: str, credentials: Credentials, oid: Oid, value: int) -> None:
        """Raises as `read`."""
        async with self._turn(tried, _Waiting(asyncio.get_running_loop().create_future())):
            await self._messages.set(tried, self.agent, credentials, oid, value)

    @asynccontextmanager
    async def _turn(self, tried: str, mine: _Waiting) -> AsyncIterator[bool]:
        has_turn = await self._wait(tried, mine)
        try:
            yield has_turn
        finally:
            if has_turn:
                self._pass_on()

    async def _wait(self, tried: str, mine: _Waiting) -> bool:
        if not self._taken:
            self._taken = True
            return True
        self._waiting.append(mine)
        try:
            async with asyncio.timeout(QUEUE_S):
                return await mine.done
        except (TimeoutError, asyncio.CancelledError) as error:
            if mine.done.done() and not mine.done.cancelled() and mine.done.result():
                self._pass_on()  # it came as we left
            if isinstance(error, asyncio.CancelledError):
                raise
            answer = f"others have asked it for {QUEUE_S:g} s already"
            raise DeviceBusy(tried, device=self.agent.name, answer=answer) from error
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)

    def _pass_on(self) -> None:
        while self._waiting:
            # Commands first: those who want to know their outcome come together meanwhile.
            following = next((one for one in self._waiting if not one.oids), self._waiting[0])
            self._waiting.remove(following)
            if not following.done.done():
                following.done.set_result(True)
                return
        self._taken = False

    async def _read_for_all(self, tried: str, mine: _Waiting, credentials: Credentials) -> None:
        others: list[_Waiting] = []
        oids = list(mine.oids)
        for other in self._waiting:
            if other.credentials == credentials and len(oids) + len(other.oids) <= MOST_OBJECTS:
                others.append(other)
                oids += other.oids
        try:
            values = await self._messages.get(tried, self.agent, credentials, oids)
        except (DeviceRefused, DeviceBusy):
            if not others:
                raise
            # One of them was to blame, and who is will be told when it asks for itself.
            others = []
            values = await self._messages.get(tried, self.agent, credentials, mine.oids)
        for one in (mine, *others):
            one.values, values = values[: len(one.oids)], values[len(one.oids) :]
            if one is not mine and not one.done.done():
                one.done.set_result(False)
