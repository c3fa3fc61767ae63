"""PDUs whose family is found by what they call themselves."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from provisioner.core.errors import DeviceBusy, DeviceRefused, DeviceUnreachable
from provisioner.core.pdus.families import FAMILIES
from provisioner.core.pdus.family import SYS_OBJECT_ID, Oid
from provisioner.core.states import PowerState
from provisioner.drivers import snmp_queue
from provisioner.drivers.snmp import SnmpDevices
from provisioner.drivers.snmp_messages import Value
from provisioner.protocols.power import PowerVerb
from tests.unit.drivers.fake_pdu import FakeAgent
from tests.unit.drivers.test_snmp import APC_RACK_PDU, SlowAgent, object_of, outlets, patiently, play


def test_a_pdu_is_asked_once_for_its_family() -> None:
    objects: dict[Oid, Value] = {object_of(1): 1, SYS_OBJECT_ID: APC_RACK_PDU}
    agent = FakeAgent(objects)
    devices = SnmpDevices(agent, discharge_s=1)
    for _ in range(2):
        assert play(outlets(agent, 1, devices=devices, family="auto").power_state) is PowerState.ON
    assert agent.log == ["get 1"] * 3


def test_a_pdu_that_another_family_has_replaced_is_known_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snmp_queue, "LATELY_S", 0.0)
    aten = FAMILIES["aten"]
    agent = FakeAgent({object_of(1): 1, SYS_OBJECT_ID: APC_RACK_PDU})
    devices = SnmpDevices(agent, discharge_s=1)
    control = outlets(agent, 1, devices=devices, family="auto")
    assert play(control.power_state) is PowerState.ON
    agent.objects = {aten.oid(aten.state, 1): 1, SYS_OBJECT_ID: (1, 3, 6, 1, 4, 1, 21317, 1)}
    assert play(control.power_state) is PowerState.OFF
    play(lambda: control.set_power(PowerVerb.ON))
    assert agent.log[-1] == "set 21317.1.3.2.2.2.2.2.0=2"


def test_an_outlet_that_is_not_there_is_told_after_its_pdu_was_asked_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snmp_queue, "LATELY_S", 0.0)
    agent = FakeAgent({object_of(1): 1, SYS_OBJECT_ID: APC_RACK_PDU})
    with pytest.raises(DeviceRefused, match="no object"):
        play(outlets(agent, 30, family="auto").power_state)
    assert agent.log == ["get 1"] * 3, "its family, its outlet, its family"


@pytest.mark.parametrize("is_replaced", [False, True], ids=["no such outlet", "another PDU"])
def test_a_slow_pdu_without_such_an_outlet_is_known_anew_by_further_tries(
    monkeypatch: pytest.MonkeyPatch, is_replaced: bool
) -> None:
    """Too slow for two messages within one command's time."""
    aten = FAMILIES["aten"]
    agent = SlowAgent({object_of(1): 1, SYS_OBJECT_ID: APC_RACK_PDU}, 0.3)
    control = outlets(agent, 1, family="auto", timeout_s=0.6)

    async def story() -> PowerState:
        assert await patiently(control.power_state) is PowerState.ON
        monkeypatch.setattr(snmp_queue, "LATELY_S", 0.2)  # it was asked for longer ago than that
        await asyncio.sleep(0.2)
        if is_replaced:
            agent.objects = {aten.oid(aten.state, 1): 1, SYS_OBJECT_ID: (1, 3, 6, 1, 4, 1, 21317, 1)}
        else:
            del agent.objects[object_of(1)]
        with suppress(DeviceUnreachable, DeviceBusy):
            await control.power_state()
        monkeypatch.setattr(snmp_queue, "LATELY_S", 30.0)
        return await patiently(control.power_state)

    if is_replaced:
        assert play(story) is PowerState.OFF
    else:
        with pytest.raises(DeviceRefused, match="no object"):
            play(story)


def test_a_pdu_of_no_known_family_is_told_with_what_it_calls_itself() -> None:
    agent = FakeAgent({SYS_OBJECT_ID: (1, 3, 6, 1, 4, 1, 9, 1)})
    with pytest.raises(DeviceRefused, match=r"calls itself 1\.3\.6\.1\.4\.1\.9\.1.*Set power\.family"):
        play(outlets(agent, 1, family="auto").power_state)
