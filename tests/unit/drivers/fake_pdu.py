"""An SNMP agent in memory, for what stands above messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from provisioner.core.errors import DeviceRefused
from provisioner.core.pdu_pace import MESSAGE_S
from provisioner.core.pdus.family import Oid
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import Agent, Value


class FakeAgent:
    """`Messages` of one PDU with these objects. Answers when the loop has gone round once.

    log: every message, as "get 3" (objects) or "set OID=value"
    """

    def __init__(self, objects: dict[Oid, Value]) -> None:
        self.objects = objects
        self.log: list[str] = []
        self.at_once = self.most_at_once = 0
        self.hold: asyncio.Event | None = None

    async def get(
        self,
        tried: str,
        agent: Agent,
        credentials: Credentials,
        oids: Sequence[Oid],
        *,
        timeout_s: float = MESSAGE_S,
    ) -> list[Value]:
        self.log.append(f"get {len(oids)}")
        await self._answers()
        missing = [oid for oid in oids if oid not in self.objects]
        if missing:
            raise DeviceRefused(tried, device=agent.name, answer=f"it has no object {missing[0]}")
        return [self.objects[oid] for oid in oids]

    async def set(
        self,
        tried: str,
        agent: Agent,
        credentials: Credentials,
        oid: Oid,
        value: int,
        *,
        timeout_s: float = MESSAGE_S,
    ) -> None:
        self.log.append(f"set {'.'.join(map(str, oid[6:]))}={value}")
        await self._answers()
        self.objects[oid] = value

    async def _answers(self) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await (self.hold.wait() if self.hold else asyncio.sleep(0))
        finally:
            self.at_once -= 1
