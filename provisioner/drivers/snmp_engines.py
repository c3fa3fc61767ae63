"""pysnmp's engines, each with a socket of its own.

An engine knows an SNMPv3 user by name alone: told other keys for it, it forgets the user with all that it was
about to do for it. PDUs may have the same user with keys of their own, so each user with its keys has an
engine.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pysnmp.hlapi.v3arch import asyncio as snmp

from provisioner.drivers.snmp_credentials import Credentials

MOST_ENGINES = 512
"""Kept for those used last, beyond those in use. Each takes 0.8 MiB, and some 0.1 s to make, in which all
else stands still. Users are asked in turn: with one more than are kept, each message would make an engine.
So many are more than the PDUs of 10,000 nodes, should each have keys of its own."""


@dataclass(slots=True)
class _Engine:
    engine: snmp.SnmpEngine
    messages: int = 0  # under way


class SnmpEngines:
    """Made at the first message; `close` ends all."""

    def __init__(self) -> None:
        self._engines: OrderedDict[Credentials | None, _Engine] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None

    def close(self) -> None:
        """Idempotent."""
        engines, loop, self._loop = list(self._engines.values()), self._loop, None
        self._engines.clear()
        if loop is not None and not loop.is_closed():  # else it has taken them along
            for one in engines:
                one.engine.close_dispatcher()

    @contextmanager
    def lent(self, credentials: Credentials) -> Iterator[snmp.SnmpEngine]:
        """For one message. Communities share an engine."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # sockets belong to the loop that they were made in
            self.close()
            self._loop = loop
        key = credentials if credentials.version == "3" else None
        one = self._engines.get(key)
        if one is None:
            one = self._engines[key] = _Engine(snmp.SnmpEngine())
        self._engines.move_to_end(key)
        one.messages += 1
        try:
            yield one.engine
        finally:
            one.messages -= 1
            self._close_idle()

    def _close_idle(self) -> None:
        idle = [key for key, one in self._engines.items() if not one.messages]
        for key in idle[: max(0, len(self._engines) - MOST_ENGINES)]:
            self._engines.pop(key).engine.close_dispatcher()
