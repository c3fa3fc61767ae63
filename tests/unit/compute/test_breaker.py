"""A power device that doesn't answer is left alone, and found again as soon as it matters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from provisioner.compute.breaker import (
    ADVICE,
    FORGET_S,
    WORK_PROBE_S,
    BreakerPolicy,
    Breakers,
    DeviceLeftAlone,
)
from provisioner.compute.devices import Device, PowerPolicy, PowerSequencer
from provisioner.compute.lease import LeaseKeeper
from provisioner.core.errors import DeviceBusy, DeviceUnreachable
from provisioner.core.states import PowerState
from provisioner.store.memory import MemoryStore
from tests.unit.fakes import JumpingClock, PowerDevice

SILENT = DeviceUnreachable("ask for power", answer="no answer in 4 s")
KEY = "ipmi device 10.78.0.101"
POLICY = PowerPolicy()


class Bmc(PowerDevice):
    """Silent until a moment. Notes when it was asked."""

    def __init__(self, clock: JumpingClock, *, silent_until_s: float = 1e9) -> None:
        super().__init__(PowerState.ON)
        self._clock = clock
        self.silent_until_s = silent_until_s
        self.asked_at_s: list[float] = []

    async def power_state(self) -> PowerState:
        self.asked_at_s.append(self._clock.now_s)
        if self._clock.now_s < self.silent_until_s:
            raise SILENT
        return await super().power_state()


Story = Callable[[PowerSequencer, Device, Bmc, JumpingClock], Awaitable[None]]


def play(story: Story, *, silent_until_s: float = 1e9) -> None:
    async def run() -> None:
        clock = JumpingClock()
        lease = LeaseKeeper(MemoryStore(clock.wall), clock, "ch1", 1e9, holder="ch1")
        await lease.acquire()
        bmc = Bmc(clock, silent_until_s=silent_until_s)
        device = Device(f"{KEY} of node n1", bmc, asyncio.Lock(), KEY)
        await story(PowerSequencer(lease, clock, POLICY), device, bmc, clock)

    asyncio.run(run())


async def fail(power: PowerSequencer, device: Device, times: int) -> None:
    for _ in range(times):
        with pytest.raises(DeviceUnreachable, match="no answer in 4 s"):
            await power.state(device, patience_s=0)


def test_whoever_cant_wait_is_told_at_once_and_the_device_is_not_asked() -> None:
    async def story(power: PowerSequencer, device: Device, bmc: Bmc, clock: JumpingClock) -> None:
        await fail(power, device, POLICY.breaker.failures)
        asked = len(bmc.asked_at_s)
        with pytest.raises(DeviceLeftAlone) as refused:
            await power.state(device, patience_s=0)
        assert len(bmc.asked_at_s) == asked
        assert "left alone after 5 failures in a row" in refused.value.message
        assert "no answer in 4 s" in refused.value.message
        assert device.name in refused.value.message

    play(story)


@pytest.mark.parametrize("advice", ["", "Check the community: a wrong one is not answered at all"])
@pytest.mark.parametrize("working", [True, False])
def test_what_to_do_is_told_of_a_device_that_is_left_alone_as_of_one_that_is_asked(
    advice: str, working: bool
) -> None:
    breakers = Breakers(JumpingClock(), POLICY.breaker)
    for _ in range(POLICY.breaker.failures):
        breakers.failed(KEY, DeviceUnreachable("ask for power", answer="no answer in 4 s", advice=advice))
    told = breakers.refusal(KEY, "reach the power device", "PDU of node n1", working=working)
    assert told.advice == (advice or ADVICE)


def test_work_that_has_waited_for_long_enough_is_told_of_a_silent_device() -> None:
    async def story(power: PowerSequencer, device: Device, bmc: Bmc, clock: JumpingClock) -> None:
        await fail(power, device, POLICY.breaker.failures)
        with pytest.raises(DeviceUnreachable) as refused:
            await power.state(device, patience_s=WORK_PROBE_S / 2)
        assert refused.value.code == "device-unreachable"
        assert "5 failures in a row; the last: no answer in 4 s" in refused.value.message

    play(story)


def test_the_pause_grows_to_a_bound_with_one_probe_after_each() -> None:
    async def story(power: PowerSequencer, device: Device, bmc: Bmc, clock: JumpingClock) -> None:
        await fail(power, device, POLICY.breaker.failures)
        bmc.asked_at_s.clear()
        for _ in range(1000):
            with pytest.raises(DeviceUnreachable):
                await power.state(device, patience_s=0)
            clock.now_s += 1
        gaps = [later - earlier for earlier, later in zip(bmc.asked_at_s, bmc.asked_at_s[1:], strict=False)]
        assert gaps[:4] == [20, 40, 80, 120]
        assert set(gaps[4:]) == {120}

    play(story)


def test_a_device_that_answers_again_is_asked_as_ever() -> None:
    async def story(power: PowerSequencer, device: Device, bmc: Bmc, clock: JumpingClock) -> None:
        await fail(power, device, POLICY.breaker.failures)
        assert power.breakers.silence(KEY) is not None
        assert power.breakers.count_open() == 1
        bmc.silent_until_s = 0
        clock.now_s += POLICY.breaker.first_pause_s
        assert await power.state(device, patience_s=0) is PowerState.ON
        assert power.breakers.silence(KEY) is None
        assert power.breakers.count_open() == 0

    play(story)


@pytest.mark.parametrize("away_s", [10.0, 60.0, 150.0])
def test_work_finds_a_bmc_that_comes_back_as_soon_as_without_a_breaker(away_s: float) -> None:
    async def story(power: PowerSequencer, device: Device, bmc: Bmc, clock: JumpingClock) -> None:
        assert await power.state(device) is PowerState.ON
        assert clock.now_s - away_s <= WORK_PROBE_S

    play(story, silent_until_s=away_s)


def test_work_on_many_nodes_of_one_silent_device_asks_it_no_more_often_than_work_on_one() -> None:
    async def story(power: PowerSequencer, device: Device, bmc: Bmc, clock: JumpingClock) -> None:
        await fail(power, device, POLICY.breaker.failures)
        bmc.asked_at_s.clear()
        waiting = [power.state(device, patience_s=100) for _ in range(20)]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, DeviceUnreachable) for result in results)
        gaps = [later - earlier for earlier, later in zip(bmc.asked_at_s, bmc.asked_at_s[1:], strict=False)]
        assert len(gaps) > 3
        assert min(gaps) >= WORK_PROBE_S

    play(story)


def test_a_busy_device_is_not_a_silent_one() -> None:
    async def story(power: PowerSequencer, device: Device, bmc: Bmc, clock: JumpingClock) -> None:
        await fail(power, device, POLICY.breaker.failures - 1)
        bmc.silent_until_s = 0
        bmc.errors = [DeviceBusy("ask", answer="0xC0")]
        with pytest.raises(DeviceBusy):
            await power.state(device, patience_s=0)
        bmc.silent_until_s = 1e9
        await fail(power, device, POLICY.breaker.failures - 1)
        assert power.breakers.count_open() == 0

    play(story)


def test_devices_that_nobody_asks_for_any_more_are_forgotten() -> None:
    clock = JumpingClock()
    breakers = Breakers(clock, BreakerPolicy(failures=1))
    breakers.failed("gone", SILENT)
    clock.now_s += FORGET_S + 1
    breakers.failed("there", SILENT)
    assert breakers.silence("gone") is None
    assert breakers.count_open() == 1
