"""Outlets by SNMP whose command was done, or is on its way, and whose answer was lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from provisioner.core.errors import DeviceBusy, DeviceUnreachable
from provisioner.core.pdus.families import FAMILIES
from provisioner.core.pdus.family import Oid
from provisioner.drivers.snmp import SnmpDevices
from provisioner.drivers.snmp_messages import Value
from provisioner.protocols.power import PowerVerb
from scenarios.runner.virtual_time import run
from tests.unit.drivers.fake_pdu import FakeAgent

ATEN = FAMILIES["aten"]
ATEN_PENDING, ATEN_OFF = 3, 1


class Forgetful(FakeAgent):
    """Does what it is told, and loses the answer to its first command. on_its_way: what its outlet says then;
    None: it hasn't heard it."""

    def __init__(self, objects: dict[Oid, Value], on_its_way: int | None) -> None:
        super().__init__(objects)
        self._on_its_way = on_its_way
        self.commands = 0

    async def set(self, tried: str, agent: Any, credentials: Any, oid: Oid, value: int, **more: Any) -> None:
        self.commands += 1
        if self.commands > 1:
            return await super().set(tried, agent, credentials, oid, value, **more)
        if self._on_its_way is not None:
            self.objects[oid] = self._on_its_way
        raise DeviceUnreachable(tried, device=agent.name, answer="no answer in 2.5 s")


@pytest.mark.parametrize(
    ("on_its_way", "commands"), [(ATEN_PENDING, 1), (None, 2)], ids=["it is on its way", "it has not moved"]
)
def test_an_outlet_whose_answer_was_lost_is_told_again_unless_it_is_on_its_way(
    on_its_way: int | None, commands: int
) -> None:
    agent = Forgetful({ATEN.oid(ATEN.state, 1): ATEN_OFF}, on_its_way)
    address = {"family": "aten", "address": "10.78.0.201", "outlets": [1]}
    control = SnmpDevices(agent, discharge_s=1)("n1", address, {"community": "open-sesame"})

    async def told() -> None:
        """A PDU that has not answered is left to others for a while, who may ask it too."""
        while True:
            with suppress(DeviceBusy):
                return await control.set_power(PowerVerb.ON)
            await asyncio.sleep(1.0)

    async def story() -> None:
        with pytest.raises(DeviceUnreachable):
            await control.set_power(PowerVerb.ON)
        await told()
        assert agent.commands == commands
        await told()
        assert agent.commands == commands + 1, "whoever says it again has waited"

    run(story(), 0)
