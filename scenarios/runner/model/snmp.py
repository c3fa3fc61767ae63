"""SNMP on a compute host of the model: the provisioner's own driver of PDUs runs on it unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from provisioner.core.errors import DeviceRefused
from provisioner.core.pdu_pace import MESSAGE_S
from provisioner.core.pdus.family import Oid
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import Agent, Value, no_answer, waited_s
from scenarios.runner.model.pdu import ModelPdu, Refused
from scenarios.runner.model.wires import Link, Wires, settle
from scenarios.runner.processes import as_world

Found = list[int | str | Oid] | Refused


class ModelSnmp:
    """`provisioner.drivers.snmp_messages.Messages` of one compute host.

    pdu:    by its address; None when nothing answers there
    sender: how devices name this process in their audit log
    """

    def __init__(self, host: str, sender: str, wires: Wires, pdu: Callable[[str], ModelPdu | None]) -> None:
        self._host = host
        self._sender = sender
        self._wires = wires
        self._pdu = pdu

    async def get(
        self,
        tried: str,
        agent: Agent,
        credentials: Credentials,
        oids: Sequence[Oid],
        *,
        timeout_s: float = MESSAGE_S,
    ) -> list[Value]:
        community = credentials.community
        found = await self._ask(tried, agent, credentials, community, lambda pdu: pdu.get(oids), timeout_s)
        return [value for value in found if not isinstance(value, str)]

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
        def switch(pdu: ModelPdu) -> Found:
            return pdu.set(oid, value, self._sender)

        community = credentials.write_community or credentials.community
        await self._ask(tried, agent, credentials, community, switch, timeout_s)

    async def _ask(
        self,
        tried: str,
        agent: Agent,
        credentials: Credentials,
        community: str,
        serve: Callable[[ModelPdu], Found],
        timeout_s: float,
    ) -> list[int | str | Oid]:
        """One message, sent once."""
        timeout_s = waited_s(timeout_s)
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Found] = loop.create_future()
        pdu = self._pdu(agent.host)
        link = Link("snmp", self._host, "", () if pdu is None else pdu.fed)

        def arrived() -> None:
            takes_s = pdu.hears(community) if pdu is not None else None
            if pdu is not None and takes_s is not None:
                # The PDU's: it serves what it has heard, whether or not anybody waits for it still.
                as_world(loop.call_later, takes_s, served, pdu)

        def served(pdu: ModelPdu) -> None:
            found = serve(pdu)
            self._wires.send(link, False, lambda: settle(answered, found))

        self._wires.send(link, True, arrived)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await answered
        except TimeoutError:
            raise no_answer(tried, agent, credentials, timeout_s) from None
        if isinstance(answer, Refused):
            raise DeviceRefused(tried, device=agent.name, answer=answer.status)
        return answer
