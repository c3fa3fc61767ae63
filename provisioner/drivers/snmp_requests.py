"""A request by pysnmp that ends with whoever awaits it, and in its time.

pysnmp's own get_cmd and set_cmd go on when they are cancelled: an SNMPv3 agent that tells its engine's ID or
its time after that is sent the request once more, and switches an outlet for somebody who has given up its
node. A command that would be answered too late is not sent upon such a report either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pysnmp.entity.rfc3413 import cmdgen
from pysnmp.hlapi.v3arch import asyncio as snmp
from pysnmp.hlapi.v3arch.asyncio.lcd import CommandGeneratorLcdConfigurator
from pysnmp.hlapi.varbinds import CommandGeneratorVarBinds
from pysnmp.proto import errind

_TARGETS = CommandGeneratorLcdConfigurator()
_OBJECTS = CommandGeneratorVarBinds()

Answer = tuple[Any, Any, Sequence[Any]]
"""(what kept it from coming, its error status, names with values)"""


TOLD_TOO_LATE = "it told its engine's ID or time too late for the command to be sent"
"""What kept a command from being sent; the next one is sent with what was told."""

REPORTS = (errind.unknownEngineID, errind.notInTimeWindow)
"""RFC 3414 §3.2: upon these a request is sent once more."""


class _UntilCancelled:
    """A generator is told of an answer, of a report upon which it asks once more, and that its time is up."""

    def __init__(self, answer: asyncio.Future[Answer], until_s: float) -> None:
        super().__init__()
        self._answer = answer
        self._until_s = until_s
        self._sent_s = answer.get_loop().time()

    def process_response_pdu(self, engine: snmp.SnmpEngine, *told: Any) -> None:
        if self._answer.cancelled():
            engine.transport_dispatcher.job_finished(id(self))
        elif self._is_too_late_for(told):
            engine.transport_dispatcher.job_finished(id(self))
            self._answer.set_result((TOLD_TOO_LATE, None, ()))
        else:
            self._sent_s = self._answer.get_loop().time()  # if it is sent once more
            super().process_response_pdu(engine, *told)  # type: ignore[misc]

    def _is_too_late_for(self, told: Sequence[Any]) -> bool:
        """Whether it is a report, and the command, when it takes as long, would be answered too late."""
        return False


class Get(_UntilCancelled, cmdgen.GetCommandGenerator):  # type: ignore[misc]
    pass


class Set(_UntilCancelled, cmdgen.SetCommandGenerator):  # type: ignore[misc]
    def _is_too_late_for(self, told: Sequence[Any]) -> bool:
        *_, status, _handle, _context = told
        now_s = self._answer.get_loop().time()
        took_s = now_s - self._sent_s
        return bool(status) and status["errorIndication"] in REPORTS and now_s + took_s > self._until_s


async def request(
    kind: type[Get | Set],
    engine: snmp.SnmpEngine,
    auth: Any,
    target: Any,
    objects: Sequence[Any],
    *,
    until_s: float,
) -> Answer:
    """Raises PySnmpError. until_s: when a command is to have been answered, by the loop's clock."""
    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def answered(
        engine: Any, handle: Any, error: Any, status: Any, index: Any, found: Any, more: Any
    ) -> None:
        answer.set_result((error, status, found))

    name, _ = _TARGETS.configure(engine, auth, target)
    kind(answer, until_s).send_varbinds(
        engine, name, None, b"", _OBJECTS.make_varbinds(engine.cache, objects), answered
    )
    return await answer
