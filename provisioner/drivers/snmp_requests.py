"""A request by pysnmp that ends with whoever awaits it.

pysnmp's own get_cmd and set_cmd go on when they are cancelled: an SNMPv3 agent that tells its engine's ID or
its time after that is sent the request once more, and switches an outlet for somebody who has given up its
node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pysnmp.entity.rfc3413 import cmdgen
from pysnmp.hlapi.v3arch import asyncio as snmp
from pysnmp.hlapi.v3arch.asyncio.lcd import CommandGeneratorLcdConfigurator
from pysnmp.hlapi.varbinds import CommandGeneratorVarBinds

_TARGETS = CommandGeneratorLcdConfigurator()
_OBJECTS = CommandGeneratorVarBinds()

Answer = tuple[Any, Any, Sequence[Any]]
"""(what kept it from coming, its error status, names with values)"""


class _UntilCancelled:
    """A generator is told of an answer, of a report upon which it asks once more, and that its time is up."""

    def __init__(self, answer: asyncio.Future[Answer]) -> None:
        super().__init__()
        self._answer = answer

    def process_response_pdu(self, engine: snmp.SnmpEngine, *told: Any) -> None:
        if self._answer.cancelled():
            engine.transport_dispatcher.job_finished(id(self))
        else:
            super().process_response_pdu(engine, *told)  # type: ignore[misc]


class Get(_UntilCancelled, cmdgen.GetCommandGenerator):  # type: ignore[misc]
    pass


class Set(_UntilCancelled, cmdgen.SetCommandGenerator):  # type: ignore[misc]
    pass


async def request(
    kind: type[Get | Set], engine: snmp.SnmpEngine, auth: Any, target: Any, objects: Sequence[Any]
) -> Answer:
    """Raises PySnmpError."""
    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def answered(
        engine: Any, handle: Any, error: Any, status: Any, index: Any, found: Any, more: Any
    ) -> None:
        answer.set_result((error, status, found))

    name, _ = _TARGETS.configure(engine, auth, target)
    kind(answer).send_varbinds(
        engine, name, None, b"", _OBJECTS.make_varbinds(engine.cache, objects), answered
    )
    return await answer
