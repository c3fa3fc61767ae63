"""What `protocols.power` promises: machines in memory, in the model, behind a BMC, on outlets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from provisioner.core.errors import DeviceRefused
from provisioner.core.outlets import OutletState, Seen
from provisioner.core.states import PowerState
from provisioner.drivers.fake import FakeRack
from provisioner.drivers.ipmi import IpmiDevices
from provisioner.protocols.power import BootDevice, BootDeviceControl, Feeds, PowerControl, PowerVerb
from provisioner.services.children import SystemChildren
from tests.contract.drivers.bmc import PASSWORD, USER, running_bmc
from tests.contract.drivers.modelled_bmc import modelled_ipmitool
from tests.contract.drivers.modelled_outlets import ModelledOutlets
from tests.contract.drivers.outlets import WAYS, outlets
from tests.unit.fakes import CountingIds

DEADLINE_S = 60.0


BMCS = ["fake", "model", pytest.param("ipmi", marks=pytest.mark.wire)]
OUTLETS = ["modelled outlets", *(pytest.param(way, marks=pytest.mark.wire) for way in WAYS)]


@pytest.fixture(params=[*BMCS, *OUTLETS])
def control(request: pytest.FixtureRequest, tmp_path: Path, unhurried: None) -> Iterator[PowerControl]:
    if request.param == "fake":
        yield FakeRack(lambda event: None, CountingIds()).power("n1", {}, {})
        return
    if request.param == "model":
        address = {"address": "10.78.0.101", "user": USER}
        yield IpmiDevices(modelled_ipmitool())("n1", address, {"password": PASSWORD})
        return
    if request.param == "modelled outlets":
        yield ModelledOutlets()
        return
    if request.param in WAYS:
        with outlets(request.param, tmp_path) as made:
            yield made
        return
    with running_bmc(tmp_path) as bmc:
        yield IpmiDevices(SystemChildren())("n1", bmc.address, {"password": PASSWORD})


def play(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await story()

    asyncio.run(bounded())


async def becomes(control: PowerControl, wanted: PowerState) -> None:
    """An acknowledgement proves nothing yet, so it is looked at until it is so."""
    while await control.power_state() is not wanted:
        await asyncio.sleep(0.05)


def test_power_goes_off_and_on_and_is_reported_truly(control: PowerControl) -> None:
    async def story() -> None:
        await control.set_power(PowerVerb.OFF)
        await becomes(control, PowerState.OFF)
        await control.set_power(PowerVerb.ON)
        await becomes(control, PowerState.ON)
        if isinstance(control, Feeds):
            return
        await control.set_power(PowerVerb.CYCLE)
        await becomes(control, PowerState.ON)
        await control.set_power(PowerVerb.RESET)
        await becomes(control, PowerState.ON)
        await control.set_power(PowerVerb.SOFT)
        await becomes(control, PowerState.OFF)

    play(story)


@pytest.mark.parametrize("control", OUTLETS, indirect=True)
def test_outlets_refuse_what_they_cannot_do_and_tell_what_they_saw(control: PowerControl) -> None:
    async def story() -> None:
        assert isinstance(control, Feeds)
        assert control.discharge_s > 0
        for verb in (PowerVerb.CYCLE, PowerVerb.RESET, PowerVerb.SOFT):
            with pytest.raises(DeviceRefused, match="on and off alone"):
                await control.set_power(verb)
        await control.set_power(PowerVerb.ON)
        await becomes(control, PowerState.ON)
        assert set(control.last_seen().values()) == {Seen(OutletState.ON)}

    play(story)


@pytest.mark.parametrize(("verb", "state"), [(PowerVerb.ON, PowerState.ON), (PowerVerb.OFF, PowerState.OFF)])
def test_on_and_off_may_be_sent_twice(control: PowerControl, verb: PowerVerb, state: PowerState) -> None:
    async def story() -> None:
        for _ in range(2):
            await control.set_power(verb)
            await becomes(control, state)

    play(story)


@pytest.mark.parametrize("control", BMCS, indirect=True)
@pytest.mark.parametrize("uefi", [False, True])
@pytest.mark.parametrize("device", list(BootDevice))
def test_a_boot_device_reads_back_as_it_was_set(
    control: PowerControl, device: BootDevice, uefi: bool
) -> None:
    async def story() -> None:
        assert isinstance(control, BootDeviceControl)
        for _ in range(2):
            await control.set_boot_device(device, persistent=True, uefi=uefi)
            assert await control.boot_device() is device

    play(story)


@pytest.mark.parametrize("control", BMCS, indirect=True)
def test_a_persistent_boot_device_outlasts_a_start(control: PowerControl) -> None:
    async def story() -> None:
        assert isinstance(control, BootDeviceControl)
        await control.set_power(PowerVerb.OFF)
        await becomes(control, PowerState.OFF)
        await control.set_boot_device(BootDevice.DISK, persistent=True, uefi=False)
        await control.set_power(PowerVerb.ON)
        await becomes(control, PowerState.ON)
        assert await control.boot_device() is BootDevice.DISK

    play(story)
