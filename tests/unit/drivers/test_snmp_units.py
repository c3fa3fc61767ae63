"""Units of PDUs that are asked for their family: not every family has them."""

from __future__ import annotations

import asyncio

import pytest

from provisioner.core.errors import DeviceRefused
from provisioner.core.pdus.families import FAMILIES
from provisioner.core.pdus.family import SYS_OBJECT_ID, Family, Oid
from provisioner.core.states import PowerState
from provisioner.drivers import snmp_queue
from provisioner.drivers.snmp import SnmpDevices
from provisioner.protocols.power import PowerControl, PowerVerb
from tests.unit.drivers.fake_pdu import FakeAgent

APC, RARITAN = FAMILIES["apc_rackpdu"], FAMILIES["raritan_pdu2"]
APC_RACK_PDU: Oid = (1, 3, 6, 1, 4, 1, 318, 1, 3, 4, 5)
RARITAN_PX: Oid = (1, 3, 6, 1, 4, 1, 13742, 6)


def pdu(family: Family, system: Oid, unit: str) -> FakeAgent:
    """Its outlet 3 is on."""
    return FakeAgent({SYS_OBJECT_ID: system, family.oid(family.state, 3, unit): min(family.when_on)})


def outlet_3(agent: FakeAgent, unit: str, family: str = "auto") -> PowerControl:
    address = {"address": "10.78.0.201", "family": family, "outlets": [3], "unit": unit}
    return SnmpDevices(agent, discharge_s=1)("n1", address, {"community": "open-sesame"})


def test_a_pdu_without_units_refuses_one_that_it_cannot_have() -> None:
    agent = pdu(APC, APC_RACK_PDU, "")
    control = outlet_3(agent, "2")
    with pytest.raises(DeviceRefused, match=r"apc_rackpdu, which has no units, and power\.unit is 2"):
        asyncio.run(control.power_state())
    with pytest.raises(DeviceRefused, match="which has no units"):
        asyncio.run(control.set_power(PowerVerb.OFF))
    assert [line for line in agent.log if line.startswith("set")] == []


@pytest.mark.parametrize("unit", ["", "0", "1", "1.1"])
def test_a_pdu_without_units_is_the_first_of_its_own(unit: str) -> None:
    control = outlet_3(pdu(APC, APC_RACK_PDU, ""), unit)
    assert asyncio.run(control.power_state()) is PowerState.ON


def test_a_pdu_with_units_has_the_one_that_is_named() -> None:
    control = outlet_3(pdu(RARITAN, RARITAN_PX, "2"), "2")
    assert asyncio.run(control.power_state()) is PowerState.ON


def test_a_pdu_with_units_that_stands_where_one_without_stood_is_known_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snmp_queue, "LATELY_S", 0.0)
    agent = pdu(APC, APC_RACK_PDU, "")
    control = outlet_3(agent, "2")
    with pytest.raises(DeviceRefused):
        asyncio.run(control.power_state())
    agent.objects = pdu(RARITAN, RARITAN_PX, "2").objects
    assert asyncio.run(control.power_state()) is PowerState.ON
