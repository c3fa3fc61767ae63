from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from provisioner.compute.devices import Device, PowerPolicy, PowerSequencer
from provisioner.compute.lease import LeaseKeeper
from provisioner.core.errors import (
    DeviceBusy,
    DeviceUnreachable,
    LeaseLost,
    TransientError,
    WrongCredentials,
)
from provisioner.core.outlets import OutletState, Seen
from provisioner.core.states import PowerState
from provisioner.protocols.power import BootDevice, PowerVerb
from provisioner.store.memory import MemoryStore
from tests.unit.fakes import JumpingClock, PowerDevice

T = TypeVar("T")
BUSY = DeviceBusy("set power", answer="0xC0 node busy")
SILENT = DeviceUnreachable("set power", answer="no answer in 4 s")


def play(
    bmc: PowerDevice, story: Callable[[PowerSequencer, Device], Awaitable[T]], *, ttl_s: float = 1e9
) -> T:
    async def run() -> T:
        clock = JumpingClock()
        lease = LeaseKeeper(MemoryStore(clock.wall), clock, "ch1", ttl_s, holder="ch1")
        await lease.acquire()
        return await story(PowerSequencer(lease, clock, PowerPolicy()), Device("BMC of n1", bmc))

    return asyncio.run(run())


def test_a_node_that_is_on_already_gets_no_command() -> None:
    bmc = PowerDevice(PowerState.ON)
    assert play(bmc, lambda power, device: power.ensure(device, PowerState.ON)) is False
    assert bmc.commands == []


def test_an_unknown_power_state_is_never_taken_for_off() -> None:
    bmc = PowerDevice(PowerState.UNKNOWN)
    assert play(bmc, lambda power, device: power.ensure(device, PowerState.OFF)) is True
    assert bmc.commands == ["off"]


def test_a_command_that_was_swallowed_is_sent_again() -> None:
    bmc = PowerDevice()
    bmc.swallow = 2
    assert play(bmc, lambda power, device: power.ensure(device, PowerState.ON)) is True
    assert bmc.commands == ["on", "on", "on"]


def test_acknowledged_and_never_done_is_an_error_that_says_so() -> None:
    bmc = PowerDevice()
    bmc.swallow = 1000
    with pytest.raises(TransientError, match="acknowledged, but not on after 60 s"):
        play(bmc, lambda power, device: power.ensure(device, PowerState.ON))


def test_a_busy_device_is_asked_again() -> None:
    bmc = PowerDevice()
    bmc.errors = [BUSY, SILENT, BUSY]
    assert play(bmc, lambda power, device: power.ensure(device, PowerState.ON)) is True


def test_a_device_that_is_busy_for_longer_than_a_change_may_take_is_still_looked_at() -> None:
    class BusyAfterPowerOff(PowerDevice):
        refusals = 20  # a minute and a half, asked ever more rarely

        async def set_power(self, verb: PowerVerb) -> None:
            if self.refusals:
                self.refusals -= 1
                raise BUSY
            await super().set_power(verb)

    bmc = BusyAfterPowerOff()
    assert play(bmc, lambda power, device: power.ensure(device, PowerState.ON)) is True
    assert bmc.commands == ["on"]


def test_a_device_that_is_busy_since_it_is_so_already_is_believed_when_it_says_so() -> None:
    class BusyWhenReached(PowerDevice):
        """Its first acknowledgement is lost, and it does what it was told."""

        told = 0

        async def set_power(self, verb: PowerVerb) -> None:
            self.told += 1
            if self.commands:
                raise BUSY
            await super().set_power(verb)
            raise SILENT

    bmc = BusyWhenReached()
    assert play(bmc, lambda power, device: power.ensure(device, PowerState.ON)) is True
    assert bmc.told == 2


def test_a_device_that_stays_silent_ends_in_its_own_error() -> None:
    bmc = PowerDevice()
    bmc.errors = [SILENT] * 1000
    with pytest.raises(DeviceUnreachable, match="no answer in 4 s"):
        play(bmc, lambda power, device: power.state(device, patience_s=30))
    assert len(bmc.errors) > 980, "it was asked far too often"


def test_a_silent_device_is_given_up_sooner_when_another_host_may_try() -> None:
    asked: dict[bool, int] = {}
    for hurried in (False, True):
        bmc = PowerDevice()
        bmc.errors = [SILENT] * 1000
        with pytest.raises(DeviceUnreachable, match="no answer in 4 s"):
            play(bmc, lambda power, device, hurried=hurried: power.state(replace(device, hurried=hurried)))
        asked[hurried] = 1000 - len(bmc.errors)
    assert 1 < asked[True] < asked[False] / 2


def test_a_busy_device_is_waited_for_as_long_by_whoever_asks() -> None:
    bmc = PowerDevice()
    bmc.errors = [BUSY] * 25  # more than a minute
    assert play(bmc, lambda power, device: power.ensure(replace(device, hurried=True), PowerState.ON)) is True


def test_wrong_credentials_are_not_tried_twice() -> None:
    bmc = PowerDevice()
    bmc.errors = [WrongCredentials("log in"), WrongCredentials("log in")]
    with pytest.raises(WrongCredentials):
        play(bmc, lambda power, device: power.state(device))
    assert len(bmc.errors) == 1


def test_a_boot_device_is_set_and_read_back() -> None:
    bmc = PowerDevice()
    proof = play(bmc, lambda power, device: power.ensure_boot_device(device, BootDevice.NETWORK, uefi=True))
    assert proof == "boot device network read back"
    assert bmc.commands == ["boot network persistent uefi"]


def test_a_boot_device_that_was_acknowledged_and_forgotten_is_noticed() -> None:
    bmc = PowerDevice()
    bmc.forgets = 1
    with pytest.raises(TransientError, match="acknowledged, but reads back None"):
        play(bmc, lambda power, device: power.ensure_boot_device(device, BootDevice.DISK, uefi=False))


def test_nothing_is_sent_when_the_lease_is_shorter_than_the_command() -> None:
    bmc = PowerDevice()
    with pytest.raises(LeaseLost):
        play(bmc, lambda power, device: power.ensure(device, PowerState.ON), ttl_s=0.9)
    assert bmc.commands == []


DISCHARGE_S = 10.0


class Outlets(PowerDevice):
    """What hangs on outlets. told: each command, and when."""

    discharge_s = DISCHARGE_S

    def __init__(self, clock: JumpingClock, state: PowerState) -> None:
        super().__init__(state)
        self._clock = clock
        self.told: list[tuple[float, str]] = []

    def last_seen(self) -> dict[str, Seen]:
        return {"outlet 1": Seen(OutletState(self.state))}

    async def set_power(self, verb: PowerVerb) -> None:
        await super().set_power(verb)
        self.told.append((self._clock.now_s, str(verb)))


def by_outlets(
    state: PowerState, story: Callable[[PowerSequencer, Device], Awaitable[object]]
) -> tuple[list[tuple[float, str]], float]:
    """What outlets were told when, and when it ended."""

    async def run() -> tuple[list[tuple[float, str]], float]:
        clock = JumpingClock()
        outlets = Outlets(clock, state)
        lease = LeaseKeeper(MemoryStore(clock.wall), clock, "ch1", 1e9, holder="ch1")
        await lease.acquire()
        await story(PowerSequencer(lease, clock, PowerPolicy()), Device("PDU of n1", outlets))
        return outlets.told, clock.now_s

    return asyncio.run(run())


@pytest.mark.parametrize("verb", [PowerVerb.CYCLE, PowerVerb.RESET])
def test_outlets_are_cycled_by_off_the_time_to_discharge_and_on(verb: PowerVerb) -> None:
    told, _ = by_outlets(PowerState.ON, lambda power, device: power.restart(device, verb))
    assert told == [(0.0, "off"), (DISCHARGE_S, "on")]


def test_outlets_that_are_off_when_they_are_to_be_cycled_may_have_been_for_no_time() -> None:
    told, _ = by_outlets(PowerState.OFF, lambda power, device: power.restart(device, PowerVerb.CYCLE))
    assert told == [(DISCHARGE_S, "on")]


@pytest.mark.parametrize(
    ("state", "long_off", "told", "ends_s"),
    [
        (PowerState.ON, True, [(0.0, "off")], DISCHARGE_S),
        (PowerState.OFF, True, [], 0.0),
        (PowerState.OFF, False, [], DISCHARGE_S),
    ],
)
def test_outlets_that_have_been_off_for_long_are_not_waited_for(
    state: PowerState, long_off: bool, told: list[tuple[float, str]], ends_s: float
) -> None:
    async def story(power: PowerSequencer, device: Device) -> None:
        await power.ensure(device, PowerState.OFF, long_off=long_off)

    assert by_outlets(state, story) == (told, ends_s)


def test_what_a_bmc_switches_is_not_waited_for() -> None:
    async def story(power: PowerSequencer, device: Device) -> float:
        await power.ensure(device, PowerState.OFF, long_off=False)
        return power._clock.monotonic_s()

    assert play(PowerDevice(PowerState.OFF), story) == 0.0


class LateBmc(PowerDevice):
    """Acknowledges its first command at once, and carries it out `LATE_S` later."""

    longest_command_s = 4.0

    def __init__(self, clock: JumpingClock, state: PowerState) -> None:
        super().__init__(state)
        self._clock = clock
        self._late: tuple[float, PowerVerb] | None = None
        self.done: list[tuple[float, str]] = []

    async def power_state(self) -> PowerState:
        if self._late is not None and self._clock.now_s >= self._late[0]:
            (at_s, verb), self._late = self._late, None
            await super().set_power(verb)
            self.done.append((at_s, str(verb)))
        return await super().power_state()

    async def set_power(self, verb: PowerVerb) -> None:
        if not self.done and self._late is None:
            self._late = (self._clock.now_s + 3.0, verb)
            return
        await super().set_power(verb)
        self.done.append((self._clock.now_s, str(verb)))


class PausingBmc(PowerDevice):
    """Its cycle comes on again by itself, `PAUSE_S` after it went off."""

    longest_command_s = 4.0
    PAUSE_S = 8.0

    def __init__(self, clock: JumpingClock, *, comes_on: bool) -> None:
        super().__init__(PowerState.ON)
        self._clock = clock
        self._comes_on = comes_on
        self._on_at_s: float | None = None

    async def power_state(self) -> PowerState:
        if self._on_at_s is not None and self._clock.now_s >= self._on_at_s:
            self.state = PowerState.ON
        return await super().power_state()

    async def set_power(self, verb: PowerVerb) -> None:
        await super().set_power(verb)
        if verb is PowerVerb.CYCLE:
            self.state = PowerState.OFF
            self._on_at_s = self._clock.now_s + self.PAUSE_S if self._comes_on else None


@pytest.mark.parametrize(("comes_on", "told"), [(True, ["cycle"]), (False, ["cycle", "on"])])
def test_a_cycle_is_over_when_its_machine_is_on_again(told: list[str], *, comes_on: bool) -> None:
    """Told to switch on in between, a BMC would do so, and once more when whoever is next has it off."""

    async def run() -> PausingBmc:
        clock = JumpingClock()
        bmc = PausingBmc(clock, comes_on=comes_on)
        lease = LeaseKeeper(MemoryStore(clock.wall), clock, "ch1", 1e9, holder="ch1")
        await lease.acquire()
        power = PowerSequencer(lease, clock, PowerPolicy())
        await power.restart(Device("BMC of n1", bmc), PowerVerb.CYCLE)
        assert clock.now_s >= bmc.PAUSE_S
        return bmc

    bmc = asyncio.run(run())
    assert bmc.commands == told
    assert bmc.state is PowerState.ON


@pytest.mark.parametrize("verb", [PowerVerb.SOFT, PowerVerb.RESET])
def test_what_nothing_can_confirm_is_under_way_until_it_must_have_been_done(verb: PowerVerb) -> None:
    async def story(power: PowerSequencer, device: Device) -> float:
        send = power.send if verb is PowerVerb.SOFT else power.restart
        await send(device, verb)
        return power._clock.monotonic_s()

    assert play(PowerDevice(PowerState.ON), story) == PowerDevice.longest_command_s


def test_a_command_whose_sender_was_cancelled_is_not_overtaken() -> None:
    """Else the device does what it was told last at first."""

    async def run() -> tuple[list[tuple[float, str]], PowerState]:
        clock = JumpingClock()
        bmc = LateBmc(clock, PowerState.OFF)
        lease = LeaseKeeper(MemoryStore(clock.wall), clock, "ch1", 1e9, holder="ch1")
        await lease.acquire()
        power, device = PowerSequencer(lease, clock, PowerPolicy()), Device("BMC of n1", bmc)
        begun = asyncio.create_task(power.ensure(device, PowerState.ON))
        while not clock.now_s:
            await asyncio.sleep(0)
        begun.cancel()
        await asyncio.gather(begun, return_exceptions=True)
        await power.ensure(device, PowerState.OFF)
        clock.now_s += 10.0
        return bmc.done, await bmc.power_state()

    done, state = asyncio.run(run())
    assert [verb for _, verb in done] == ["on", "off"]
    assert state is PowerState.OFF
