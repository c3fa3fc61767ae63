"""Slow PDUs in virtual time: what a call may take, late answers, and several hosts at one PDU."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest

from provisioner.compute.breaker import BreakerPolicy, Breakers
from provisioner.core.errors import DeviceBusy, DeviceUnreachable, ProvisionerError
from provisioner.core.pdu_pace import MESSAGE_S
from provisioner.core.pdus.families import FAMILIES
from provisioner.core.pdus.family import Oid
from provisioner.core.states import PowerState
from provisioner.drivers.snmp import SnmpDevices, SnmpOutlets
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import Agent, Value, no_answer
from provisioner.protocols.power import PowerVerb
from provisioner.services.system import SystemClock
from scenarios.runner import load
from scenarios.runner.play import play
from scenarios.runner.stage import Fidelity
from scenarios.runner.verdict import Verdict
from scenarios.runner.virtual_time import run

T = TypeVar("T")
APC = FAMILIES["apc_rackpdu"]
ON, OFF = 1, 2
LONGEST_S = 4.0
STORIES = Path(__file__).parents[2] / "scenarios/power"


class SlowPdu:
    """`Messages` of any number of hosts to one PDU: it serves one after the other, also what was given up.

    served: every message, as "get 3" (objects) or "set 1=2" (outlet, value). most_waiting: for it, at once
    """

    def __init__(self, each_s: float) -> None:
        self.each_s = each_s
        self.dead = False
        self.states: dict[Oid, int] = {}
        self.served: list[str] = []
        self.set_late_s = 0.0
        self.waiting = self.most_waiting = 0
        self._free_at_s = float("-inf")

    async def get(
        self,
        tried: str,
        agent: Agent,
        credentials: Credentials,
        oids: Sequence[Oid],
        *,
        timeout_s: float = MESSAGE_S,
    ) -> list[Value]:
        await self._answer(f"get {len(oids)}", {}, tried, agent, timeout_s)
        return [self.states.get(oid, ON) for oid in oids]

    async def set(
        self,
        tried: str,
        agent: Agent,
        credentials: Credentials,
        oid: Oid,
        value: int,
        *,
        timeout_s: float = MESSAGE_S,
    ) -> None:
        await self._answer(f"set {oid[-1]}={value}", {oid: value}, tried, agent, timeout_s)

    async def _answer(
        self, what: str, told: dict[Oid, int], tried: str, agent: Agent, timeout_s: float
    ) -> None:
        loop = asyncio.get_running_loop()
        answered = loop.create_future()

        def serve() -> None:
            self.waiting -= 1
            self.served.append(what)
            self.states.update(told)
            if not answered.done():
                answered.set_result(None)

        if not self.dead:
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
            self._free_at_s = max(loop.time(), self._free_at_s) + self.each_s
            loop.call_at(self._free_at_s, serve)
        try:
            async with asyncio.timeout(timeout_s):
                await answered
        except TimeoutError:
            raise DeviceUnreachable(
                tried, device=agent.name, answer=f"no answer in {timeout_s:g} s"
            ) from None


def hosts_devices(pdu: SlowPdu, seed: int = 0, *, timeout_s: float = LONGEST_S) -> SnmpDevices:
    """Of one compute host."""
    return SnmpDevices(pdu, discharge_s=0, timeout_s=timeout_s, chance=Random(seed).random)


def outlets(devices: SnmpDevices, *numbers: int, community: str = "open-sesame") -> SnmpOutlets:
    address = {"address": "10.78.0.201", "family": "apc_rackpdu", "outlets": list(numbers)}
    made = devices("n1", address, {"community": community})
    assert isinstance(made, SnmpOutlets)
    return made


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """As policy above drivers does, without an end."""
    while True:
        with suppress(DeviceUnreachable, DeviceBusy):
            return await call()
        await asyncio.sleep(1)


def now_s() -> float:
    return asyncio.get_running_loop().time()


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
