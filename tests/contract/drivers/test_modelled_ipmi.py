"""What a BMC of the model makes the IPMI driver say, compared with what real packets make it say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import pytest

from bmsim.faults.catalogue import completed
from provisioner.core.errors import DeviceBusy, DeviceUnreachable, ProvisionerError, WrongCredentials
from provisioner.core.states import PowerState
from provisioner.drivers.ipmi import IpmiDevices
from provisioner.protocols.power import BootDevice, BootDeviceControl, PowerControl, PowerVerb
from tests.contract.drivers.bmc import PASSWORD, USER
from tests.contract.drivers.modelled_bmc import Switch, modelled_bmc, modelled_ipmitool

T = TypeVar("T")


def play(story: Callable[[], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(30):
            return await story()

    return asyncio.run(bounded())


def broken(fault: str, password: str = PASSWORD, **parameters: Any) -> tuple[PowerControl, Switch]:
    machine = Switch()
    bmc = modelled_bmc(machine)
    bmc.inject(fault, completed(fault, parameters))
    address = {"address": "10.78.0.101", "user": USER}
    return IpmiDevices(modelled_ipmitool(bmc))("n1", address, {"password": password}), machine


@pytest.mark.parametrize(
    ("fault", "parameters", "error", "said"),
    [
        ("bmc.silent", {}, DeviceUnreachable, "no answer"),
        ("bmc.busy", {"for_commands": ["chassis.status"]}, DeviceBusy, "0xC0"),
        ("bmc.sessions_exhausted", {}, DeviceBusy, "no free session"),
        ("bmc.wrong_credentials", {}, WrongCredentials, "Check user, password"),
    ],
)
def test_a_broken_bmc_is_told_as_over_the_wire(
    fault: str, parameters: Mapping[str, Any], error: type[ProvisionerError], said: str
) -> None:
    control, _ = broken(fault, **parameters)
    with pytest.raises(error, match=said) as caught:
        play(control.power_state)
    assert "BMC 10.78.0.101 of node n1" in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_an_acknowledged_command_may_not_be_done() -> None:
    control, machine = broken("bmc.ack_not_done", count=1)
    play(lambda: control.set_power(PowerVerb.ON))
    assert not machine.on
    play(lambda: control.set_power(PowerVerb.ON))
    assert machine.on


def test_a_lying_bmc_is_believed_by_nobody_but_its_reader() -> None:
    control, machine = broken("bmc.lies_about_power", says_on=True)
    assert play(control.power_state) is PowerState.ON
    assert not machine.on


def test_a_forgotten_boot_device_reads_back_and_is_not_followed() -> None:
    control, machine = broken("bmc.boot_device_forgotten", count=1)
    assert isinstance(control, BootDeviceControl)
    play(lambda: control.set_boot_device(BootDevice.NETWORK, persistent=True, uefi=False))
    assert play(control.boot_device) is BootDevice.NETWORK
    play(lambda: control.set_power(PowerVerb.ON))
    assert machine.boots_from.name == "UNCHANGED"
