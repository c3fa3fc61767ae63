"""Slow PDUs in virtual time: what a call may take, late answers, and several hosts at one PDU."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from provisioner.compute.breaker import BreakerPolicy, Breakers
from provisioner.core.errors import DeviceUnreachable, ProvisionerError
from provisioner.core.pdus.families import FAMILIES
from provisioner.core.states import PowerState
from provisioner.drivers.snmp import SnmpOutlets
from provisioner.protocols.power import PowerVerb
from provisioner.services.system import SystemClock
from scenarios.runner import load
from scenarios.runner.play import play
from scenarios.runner.stage import Fidelity
from scenarios.runner.verdict import Verdict
from scenarios.runner.virtual_time import run
from tests.model.slow_pdus import SlowPdu, hosts_devices, now_s, outlets, patiently

APC = FAMILIES["apc_rackpdu"]
OFF = 2
STORIES = Path(__file__).parents[2] / "scenarios/power"


def test_a_late_answer_is_given_to_who_asks_again() -> None:
    pdu = SlowPdu(3.9)
    control = outlets(hosts_devices(pdu), 1)

    async def story() -> PowerState:
        with pytest.raises(DeviceUnreachable):
            await control.power_state()  # the first message is given up, the next is waited for longer
        state = await patiently(control.power_state)
        assert pdu.served == ["get 1", "get 1"]
        return state

    assert run(story(), 0) is PowerState.ON


def test_an_answer_from_before_a_command_is_not_taken_for_one_from_after_it() -> None:
    pdu = SlowPdu(1.0)
    control = outlets(hosts_devices(pdu), 1)

    async def story() -> PowerState:
        asking = asyncio.ensure_future(control.power_state())
        await asyncio.sleep(0.5)
        asking.cancel()  # its answer comes when nobody waits for it
        await asyncio.gather(asking, return_exceptions=True)
        await control.set_power(PowerVerb.OFF)
        return await control.power_state()

    assert run(story(), 0) is PowerState.OFF
    assert pdu.served == ["get 1", "set 1=2", "get 1"]


@pytest.mark.parametrize("each_s", [2.0, 2.6, 3.5])
def test_a_slow_pdu_of_one_host_is_switched(each_s: float) -> None:
    pdu = SlowPdu(each_s)
    control = outlets(hosts_devices(pdu), 1, 2)

    async def story() -> PowerState:
        await patiently(lambda: control.set_power(PowerVerb.OFF))
        state = await patiently(control.power_state)
        assert now_s() < 15 * each_s
        return state

    assert run(story(), 0) is PowerState.OFF


def test_a_pdu_too_slow_to_be_switched_is_with_more_time() -> None:
    pdu = SlowPdu(7.0)

    async def story() -> PowerState:
        control = outlets(hosts_devices(pdu, timeout_s=12), 1)
        await patiently(lambda: control.set_power(PowerVerb.OFF))
        return await patiently(control.power_state)

    assert run(story(), 0) is PowerState.OFF


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("hosts", "each_s"), [(2, 2.0), (3, 2.0), (2, 3.5), (8, 1.0)])
def test_hosts_that_share_a_slow_pdu_all_get_their_turn(hosts: int, each_s: float, seed: int) -> None:
    pdu = SlowPdu(each_s)

    async def switch(control: SnmpOutlets) -> None:
        for verb, state in ((PowerVerb.OFF, PowerState.OFF), (PowerVerb.ON, PowerState.ON)):
            await patiently(lambda verb=verb: control.set_power(verb))  # type: ignore[misc]
            assert await patiently(control.power_state) is state

    async def story() -> None:
        every = [hosts_devices(pdu, 100 * seed + host) for host in range(hosts)]
        nodes = [
            outlets(devices, 10 * host + node) for host, devices in enumerate(every) for node in (1, 2, 3)
        ]
        async with asyncio.TaskGroup() as group:
            for control in nodes:
                group.create_task(switch(control))
        # Each node of each host needs four messages at the least, and most of them need no more.
        assert now_s() < 3 * len(nodes) * 4 * each_s
        assert pdu.most_waiting <= 3 * hosts, "what is given up is given up seldom"

    run(story(), seed)


def test_no_call_to_a_silent_pdu_lasts_longer_than_it_may_and_each_tells_of_silence() -> None:
    pdu = SlowPdu(0.1)
    pdu.dead = True
    devices = hosts_devices(pdu)

    async def story() -> None:
        for number in range(12):
            control = outlets(devices, 1)
            began_s = now_s()
            with pytest.raises(DeviceUnreachable):
                await (control.set_power(PowerVerb.ON) if number % 2 else control.power_state())
            assert now_s() - began_s <= control.longest_command_s
        pdu.dead, began_s = False, now_s()
        assert await patiently(outlets(devices, 1).power_state) is PowerState.ON
        assert now_s() - began_s < 25

    run(story(), 0)


def test_who_waits_behind_a_silent_message_is_told_of_silence_too() -> None:
    pdu = SlowPdu(0.1)
    pdu.dead = True
    devices = hosts_devices(pdu)

    async def story() -> None:
        found = await asyncio.gather(
            *(outlets(devices, number).power_state() for number in range(1, 20)), return_exceptions=True
        )
        assert {type(one) for one in found} == {DeviceUnreachable}

    run(story(), 0)


def test_a_pdu_that_comes_along_slowly_is_not_left_alone() -> None:
    """Of three outlets a try tells one: that is an answer."""
    pdu = SlowPdu(1.8)
    control = outlets(hosts_devices(pdu), 1, 2, 3)

    async def story() -> int:
        breakers, failures = Breakers(SystemClock(), BreakerPolicy(failures=2)), 0
        while True:
            try:
                await control.set_power(PowerVerb.OFF)
                return failures
            except DeviceUnreachable as error:
                breakers.failed("pdu", error)
                failures += 1
            except ProvisionerError:
                breakers.answered("pdu")

    assert run(story(), 0) == 0


def test_a_command_is_not_begun_without_the_time_for_its_answer() -> None:
    pdu = SlowPdu(2.0)
    devices = hosts_devices(pdu)
    ended: list[float] = []

    async def story() -> None:
        async def switch(number: int) -> None:
            control = outlets(devices, number)
            began_s = now_s()
            await control.set_power(PowerVerb.OFF)
            ended.append(now_s() - began_s)

        await outlets(devices, 9).power_state()
        await asyncio.gather(*(switch(number) for number in (1, 2, 3)), return_exceptions=True)
        await asyncio.sleep(10)

    run(story(), 0)
    assert len([line for line in pdu.served if line.startswith("set")]) == 1
    assert ended == [2.0]


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("story", ["pdu-slow-queue-of-two-hosts", "pdu-slower-than-a-message"])
def test_nodes_on_a_slow_pdu_are_deployed_by_any_chance(story: str, seed: int) -> None:
    scenario = load.read(STORIES / f"{story}.yaml").scenario
    assert play(scenario, Fidelity.MODEL, seed).result.verdict is Verdict.PASS
