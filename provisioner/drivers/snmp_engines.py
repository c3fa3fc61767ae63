"""pysnmp's engines, each with a socket of its own.

An engine knows an SNMPv3 user by name alone: told other keys for it, it forgets the user with all that it was
about to do for it. PDUs may have the same user with keys of their own, so each user with its keys has an
engine.

It remembers for five minutes, too, which agent stands at an address. Another one in its place, a spare part,
is asked in the name of the first, and the two send each other reports, for nothing and without end. So an
engine that an agent fell silent to is left.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pysnmp.hlapi.v3arch import asyncio as snmp

from provisioner.drivers.snmp_credentials import Credentials

MOST_ENGINES = 512
"""Kept for those used last, beyond those in use. Each takes 0.8 MiB, and some 0.1 s to make, in which all
else stands still. Users are asked in turn: with one more than are kept, each message would make an engine.
So many are more than the PDUs of 10,000 nodes, should each have keys of its own."""


MOST_SILENCES = 2
"""In a row, of an agent that had answered: one message may be lost, as each new engine takes its 0.1 s."""


@dataclass(slots=True, eq=False)
class Lent:
    """An engine, and how often those that answered it have been silent since."""

    engine: snmp.SnmpEngine
    messages: int = 0  # under way
    silences: dict[Hashable, int] = field(default_factory=dict)
    left: bool = False  # nobody is lent it any more

    def answered(self, agent: Hashable) -> None:
        self.silences[agent] = 0

    def silent(self, agent: Hashable) -> None:
        """An agent that never answered is none that it could have mistaken."""
        if agent in self.silences:
            self.silences[agent] += 1
            self.left |= self.silences[agent] >= MOST_SILENCES


class SnmpEngines:
    """Made at the first message; `close` ends all."""

    def __init__(self) -> None:
        self._engines: OrderedDict[Credentials | None, Lent] = OrderedDict()
        self._leaving: list[Lent] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def close(self) -> None:
        """Idempotent."""
        engines, loop, self._loop = [*self._engines.values(), *self._leaving], self._loop, None
        self._engines.clear()
        self._leaving.clear()
        if loop is not None and not loop.is_closed():  # else it has taken them along
            for one in engines:
                one.engine.close_dispatcher()

    @contextmanager
    def lent(self, credentials: Credentials) -> Iterator[Lent]:
        """For one message. Communities share an engine."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # sockets belong to the loop that they were made in
            self.close()
            self._loop = loop
        key = credentials if credentials.version == "3" else None
        one = self._engines.get(key)
        if one is None:
            one = self._engines[key] = Lent(snmp.SnmpEngine())
        self._engines.move_to_end(key)
        one.messages += 1
        try:
            yield one
        finally:
            one.messages -= 1
            if one.left:
                self._leave(key, one)
            self._close_idle()

    def _leave(self, key: Credentials | None, one: Lent) -> None:
        """Whoever uses it still has its answers."""
        if self._engines.get(key) is one:
            del self._engines[key]
            self._leaving.append(one)
        if not one.messages and one in self._leaving:
            self._leaving.remove(one)
            # What its socket has received already is looked at first.
            asyncio.get_running_loop().call_soon(one.engine.close_dispatcher)

    def _close_idle(self) -> None:
        idle = [key for key, one in self._engines.items() if not one.messages]
        for key in idle[: max(0, len(self._engines) - MOST_ENGINES)]:
            self._engines.pop(key).engine.close_dispatcher()
