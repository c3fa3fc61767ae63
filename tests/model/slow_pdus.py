"""A PDU that serves one message after the other, as compute hosts ask it, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random
from typing import TypeVar

from provisioner.core.errors import DeviceBusy, DeviceUnreachable
from provisioner.core.pdu_pace import MESSAGE_S
from provisioner.core.pdus.family import Oid
from provisioner.drivers.snmp import SnmpDevices, SnmpOutlets
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import Agent, Value

T = TypeVar("T")
ON = 1
LONGEST_S = 4.0


class SlowPdu:
    """`Messages` of any number of hosts to one PDU: it serves one after the other, also what was given up.

    served: every message, as "get 3" (objects) or "set 1=2" (outlet, value). most_waiting: for it, at once
    """

    def __init__(self, each_s: float) -> None:
        self.each_s = each_s
        self.dead = False
        self.states: dict[Oid, int] = {}
        self.served: list[str] = []
        self.set_late_s = 0.0
        self.waiting = self.most_waiting = 0
        self._free_at_s = float("-inf")

    async def get(
        self,
        tried: str,
        agent: Agent,
        credentials: Credentials,
        oids: Sequence[Oid],
        *,
        timeout_s: float = MESSAGE_S,
    ) -> list[Value]:
        await self._answer(f"get {len(oids)}", {}, tried, agent, timeout_s)
        return [self.states.get(oid, ON) for oid in oids]

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
        await self._answer(f"set {oid[-1]}={value}", {oid: value}, tried, agent, timeout_s)

    async def _answer(
        self, what: str, told: dict[Oid, int], tried: str, agent: Agent, timeout_s: float
    ) -> None:
        loop = asyncio.get_running_loop()
        answered = loop.create_future()

        def serve() -> None:
            self.waiting -= 1
            self.served.append(what)
            self.states.update(told)
            if not answered.done():
                answered.set_result(None)

        if not self.dead:
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
            self._free_at_s = max(loop.time(), self._free_at_s) + self.each_s
            loop.call_at(self._free_at_s, serve)
        try:
            async with asyncio.timeout(timeout_s):
                await answered
        except TimeoutError:
            raise DeviceUnreachable(
                tried, device=agent.name, answer=f"no answer in {timeout_s:g} s"
            ) from None


def hosts_devices(pdu: SlowPdu, seed: int = 0, *, timeout_s: float = LONGEST_S) -> SnmpDevices:
    """Of one compute host."""
    return SnmpDevices(pdu, discharge_s=0, timeout_s=timeout_s, chance=Random(seed).random)


def outlets(devices: SnmpDevices, *numbers: int, community: str = "open-sesame") -> SnmpOutlets:
    address = {"address": "10.78.0.201", "family": "apc_rackpdu", "outlets": list(numbers)}
    made = devices("n1", address, {"community": community})
    assert isinstance(made, SnmpOutlets)
    return made


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """As policy above drivers does, without an end."""
    while True:
        with suppress(DeviceUnreachable, DeviceBusy):
            return await call()
        await asyncio.sleep(1)


def now_s() -> float:
    return asyncio.get_running_loop().time()
