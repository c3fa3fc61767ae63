"""What a BMC of the model makes the IPMI driver say, compared with what real packets make it say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from bmsim.faults.catalogue import completed
from provisioner.core.errors import DeviceBusy, DeviceUnreachable, ProvisionerError, WrongCredentials
from provisioner.core.states import PowerState
from provisioner.drivers.ipmi import KILL_S, IpmiDevice, IpmiDevices
from provisioner.protocols.children import Argument, ChildResult
from provisioner.protocols.power import BootDevice, BootDeviceControl, PowerControl, PowerVerb
from scenarios.runner.model.program import ModelProgram
from scenarios.runner.virtual_time import run
from tests.contract.drivers.bmc import PASSWORD, USER
from tests.contract.drivers.modelled_bmc import InThisProcess, Switch, modelled_bmc, modelled_ipmitool

T = TypeVar("T")
ADDRESS = {"address": "10.78.0.101", "user": USER}


def play(story: Callable[[], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(30):
            return await story()

    return asyncio.run(bounded())


def broken(fault: str, password: str = PASSWORD, **parameters: Any) -> tuple[PowerControl, Switch]:
    machine = Switch()
    bmc = modelled_bmc(machine)
    bmc.inject(fault, completed(fault, parameters))
    return IpmiDevices(modelled_ipmitool(bmc))("n1", ADDRESS, {"password": password}), machine


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


class SlowBmc(ModelProgram):
    """ipmitool, at one that takes `answer_s` for each command."""

    name = "ipmitool"

    def __init__(self, answer_s: float) -> None:
        super().__init__(InThisProcess())
        self._answer_s = answer_s
        self._ipmitool = modelled_ipmitool()

    async def _run(self, argv: Sequence[Argument]) -> ChildResult:
        await asyncio.sleep(self._answer_s)
        return await self._ipmitool._run(argv)


@pytest.mark.parametrize("answer_s", [2.0, 600.0], ids=["slow", "dead"])
@pytest.mark.parametrize("call", ["power_state", "set_power", "set_boot_device", "boot_device"])
def test_no_call_lasts_longer_than_it_may(call: str, answer_s: float) -> None:
    """A slow one is in time with one command, and not with the two that set a boot device."""
    control = IpmiDevices(SlowBmc(answer_s))("n1", ADDRESS, {"password": PASSWORD})
    assert isinstance(control, IpmiDevice)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "power_state": control.power_state,
        "set_power": lambda: control.set_power(PowerVerb.ON),
        "set_boot_device": lambda: control.set_boot_device(BootDevice.DISK, persistent=True, uefi=False),
        "boot_device": control.boot_device,
    }

    async def story() -> float:
        began_s = asyncio.get_running_loop().time()
        with suppress(DeviceUnreachable):
            await calls[call]()
        return asyncio.get_running_loop().time() - began_s

    assert run(story(), 0) <= control.longest_command_s - KILL_S


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
