"""PDUs that are asked by several communities, some of them wrong, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from provisioner.core.errors import DeviceBusy, DeviceUnreachable
from provisioner.core.pdu_pace import MESSAGE_S
from provisioner.core.states import PowerState
from provisioner.drivers.snmp import SnmpOutlets
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import Agent, no_answer
from provisioner.protocols.power import PowerVerb
from scenarios.runner.virtual_time import run
from tests.model.slow_pdus import LONGEST_S, SlowPdu, hosts_devices, now_s, outlets, patiently

T = TypeVar("T")


class ChoosyPdu(SlowPdu):
    """Drops what is asked by other communities than these, as a real one does: it takes no time."""

    def __init__(self, each_s: float, *communities: str) -> None:
        super().__init__(each_s)
        self._communities = communities

    async def get(self, tried: str, agent: Agent, credentials: Credentials, *told: Any, **more: Any) -> Any:
        await self._accepts(tried, agent, credentials, more["timeout_s"])
        return await super().get(tried, agent, credentials, *told, **more)

    async def set(self, tried: str, agent: Agent, credentials: Credentials, *told: Any, **more: Any) -> None:
        await self._accepts(tried, agent, credentials, more["timeout_s"])
        await super().set(tried, agent, credentials, *told, **more)

    async def _accepts(self, tried: str, agent: Agent, credentials: Credentials, timeout_s: float) -> None:
        if credentials.community not in self._communities:
            await asyncio.sleep(timeout_s)
            raise no_answer(tried, agent, credentials, timeout_s)


async def refused(call: Callable[[], Awaitable[object]], told: list[str]) -> None:
    """As policy above drivers does, by a wrong community."""
    while True:
        with suppress(DeviceBusy):
            try:
                await call()
            except DeviceUnreachable as error:
                told.append(error.message)
        await asyncio.sleep(1)


@pytest.mark.parametrize("ahead_s", [0.0, 12.0, 60.0], ids=lambda ahead_s: f"{ahead_s:g} s ahead")
@pytest.mark.parametrize("wrong", [1, 3])
def test_a_wrong_community_holds_up_nobody_elses_nodes(wrong: int, ahead_s: float) -> None:
    """ahead_s: for how long the PDU was asked by nobody else."""
    pdu = ChoosyPdu(0.05, "open-sesame")
    devices = hosts_devices(pdu)
    bad_told: list[str] = []
    good_told: list[str] = []
    took_s: list[float] = []

    async def switch(control: SnmpOutlets) -> None:
        async def ask(call: Callable[[], Awaitable[T]]) -> T:
            while True:
                try:
                    return await call()
                except (DeviceUnreachable, DeviceBusy) as error:
                    good_told.append(error.message)
                await asyncio.sleep(0.5)

        began_s = now_s()
        assert await ask(control.power_state) is PowerState.ON
        await ask(lambda: control.set_power(PowerVerb.OFF))
        while await ask(control.power_state) is not PowerState.OFF:
            await asyncio.sleep(0.5)
        took_s.append(now_s() - began_s)

    async def story() -> None:
        bad = [outlets(devices, 10 + one, community=f"wrong-{one}") for one in range(wrong)]
        asking = [asyncio.create_task(refused(control.power_state, bad_told)) for control in bad]
        await asyncio.sleep(ahead_s)
        for _ in range(3):
            async with asyncio.TaskGroup() as group:
                for number in range(1, 7):
                    group.create_task(switch(outlets(devices, number)))
            pdu.states.clear()
            await asyncio.sleep(20)
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    run(story(), 0)
    assert not [text for text in good_told if "no answer" in text], "the silence was others'"
    assert max(took_s) < (wrong + 1) * MESSAGE_S + 2.0
    assert bad_told
    assert all("check the community" in text for text in bad_told)


def test_who_comes_to_a_slow_pdu_beside_a_wrong_community_is_answered() -> None:
    """By a community of its own, which isn't known to be right before; the PDU is slower than it was."""
    pdu = ChoosyPdu(0.05, "open-sesame", "mellon")
    devices = hosts_devices(pdu)

    async def story() -> None:
        asking = asyncio.create_task(refused(outlets(devices, 9, community="wrong").power_state, []))
        await patiently(outlets(devices, 1).power_state)
        pdu.each_s = 3.5
        newcomer = outlets(devices, 2, community="mellon")
        assert await patiently(newcomer.power_state) is PowerState.ON
        await patiently(lambda: newcomer.set_power(PowerVerb.OFF))
        assert await patiently(newcomer.power_state) is PowerState.OFF
        assert now_s() < 90
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    run(story(), 0)


@pytest.mark.parametrize("asked_by", [1, 8, 24], ids="{} communities".format)
def test_a_pdu_that_dies_is_told_as_silent_to_all_whoever_asks_it(asked_by: int) -> None:
    communities = [f"word-{number}" for number in range(asked_by)]
    pdu = ChoosyPdu(0.05, *communities)
    devices = hosts_devices(pdu)
    controls = [outlets(devices, number, community=communities[number % asked_by]) for number in range(24)]
    busy: list[float] = []
    silent: set[int] = set()

    async def story() -> None:
        await asyncio.gather(*(patiently(control.power_state) for control in controls))
        pdu.dead, died_s = True, now_s()

        async def ask(number: int) -> None:
            while now_s() < died_s + 60:
                try:
                    await controls[number].power_state()
                except DeviceUnreachable:
                    silent.add(number)
                except DeviceBusy:
                    busy.append(now_s() - died_s)
                await asyncio.sleep(1)

        await asyncio.gather(*map(ask, range(len(controls))))

    run(story(), 0)
    assert silent == set(range(24))
    assert all(after_s <= 2 * LONGEST_S for after_s in busy), (
        "they may have begun to wait before it was known"
    )
