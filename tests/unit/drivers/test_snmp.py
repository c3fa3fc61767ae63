"""Outlets by SNMP above the messages: what is asked of a PDU, in which order, and what answers come to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from provisioner.core.errors import DeviceBusy, DeviceRefused, DeviceUnreachable, InvalidInput
from provisioner.core.outlets import told
from provisioner.core.pdus.families import FAMILIES
from provisioner.core.pdus.family import SYS_OBJECT_ID, Oid
from provisioner.core.states import PowerState
from provisioner.drivers.snmp import LONGEST_COMMAND_S, SnmpDevices, SnmpOutlets
from provisioner.drivers.snmp_messages import Value
from provisioner.protocols.power import PowerVerb
from scenarios.runner.virtual_time import run
from tests.unit.drivers.fake_pdu import FakeAgent

T = TypeVar("T")
APC = FAMILIES["apc_rackpdu"]
ADDRESS = {"address": "10.78.0.201", "family": "apc_rackpdu"}
APC_RACK_PDU: Oid = (1, 3, 6, 1, 4, 1, 318, 1, 3, 4, 5)
"""As it calls itself."""
COMMUNITY = {"community": "open-sesame"}


def play(story: Callable[[], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(30):
            return await story()

    return asyncio.run(bounded())


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """As long as `play` lets it."""
    while True:
        with suppress(DeviceUnreachable, DeviceBusy):
            return await call()


def object_of(outlet: int) -> Oid:
    return APC.oid(APC.state, outlet)


def rack(**states: int) -> FakeAgent:
    """Outlets by name: rack(o1=1, o2=2)."""
    return FakeAgent({object_of(int(name[1:])): value for name, value in states.items()})


def outlets(
    agent: FakeAgent,
    *numbers: int,
    devices: SnmpDevices | None = None,
    timeout_s: float = LONGEST_COMMAND_S,
    **more: object,
) -> SnmpOutlets:
    devices = devices or SnmpDevices(agent, discharge_s=1, timeout_s=timeout_s)
    made = devices("n1", {**ADDRESS, "outlets": list(numbers), **more}, COMMUNITY)
    assert isinstance(made, SnmpOutlets)
    return made


@pytest.mark.parametrize(
    ("states", "power", "seen"),
    [
        ((1, 1), PowerState.ON, "outlet 1 on, outlet 2 on"),
        ((2, 2), PowerState.OFF, "outlet 1 off, outlet 2 off"),
        ((2, 1), PowerState.UNKNOWN, "outlet 1 off, outlet 2 on"),
        ((2, 4), PowerState.UNKNOWN, "outlet 1 off, outlet 2 unknown (4)"),
    ],
)
def test_two_feeds_are_off_when_both_are(states: tuple[int, int], power: PowerState, seen: str) -> None:
    control = outlets(rack(o1=states[0], o2=states[1]), 1, 2)
    assert play(control.power_state) is power
    assert told(control.last_seen()) == seen


def test_an_outlet_that_its_pdu_says_it_has_not_is_refused() -> None:
    """In the word of its MIB, and not by a missing object; the others of the same message are answered."""
    aten = FAMILIES["aten"]
    agent = FakeAgent({aten.oid(aten.state, outlet): says for outlet, says in ((1, 2), (9, 7))})
    devices = SnmpDevices(agent, discharge_s=1)

    async def story() -> list[PowerState | BaseException]:
        asked = (outlets(agent, number, devices=devices, family="aten").power_state() for number in (1, 9, 1))
        return await asyncio.gather(*asked, return_exceptions=True)

    first, missing, again = play(story)
    assert (first, again) == (PowerState.ON, PowerState.ON)
    assert isinstance(missing, DeviceRefused)
    assert missing.answer == "it has no outlet 9 (7)"
    assert "power.outlets" in missing.advice


def test_all_outlets_of_a_node_are_asked_in_one_message_and_told_one_by_one() -> None:
    agent = rack(o1=1, o2=1)
    control = outlets(agent, 1, 2)
    play(control.power_state)
    play(lambda: control.set_power(PowerVerb.OFF))
    prefix = "318.1.1.12.3.3.1.1.4"
    assert agent.log == ["get 2", f"set {prefix}.1=2", f"set {prefix}.2=2"]


@pytest.mark.parametrize("verb", [PowerVerb.CYCLE, PowerVerb.RESET, PowerVerb.SOFT])
def test_an_outlet_knows_on_and_off_alone(verb: PowerVerb) -> None:
    agent = rack(o1=1)
    with pytest.raises(DeviceRefused, match="on and off alone"):
        play(lambda: outlets(agent, 1).set_power(verb))
    assert agent.log == []


def test_what_many_ask_at_once_is_one_message_at_a_time() -> None:
    agent = rack(**{f"o{number}": 1 for number in range(1, 21)})
    devices = SnmpDevices(agent, discharge_s=1)
    controls = [outlets(agent, number, devices=devices) for number in range(1, 21)]

    async def story() -> list[PowerState]:
        return await asyncio.gather(*(control.power_state() for control in controls))

    assert play(story) == [PowerState.ON] * 20
    assert agent.log == ["get 1", "get 16", "get 3"]
    assert agent.most_at_once == 1


def test_who_asks_for_what_is_missing_spoils_nobody_elses_answer() -> None:
    agent = rack(o1=1, o2=1, o3=2)
    devices = SnmpDevices(agent, discharge_s=1)

    async def story() -> list[PowerState | BaseException]:
        asked = (outlets(agent, number, devices=devices).power_state() for number in (1, 2, 30, 3))
        return await asyncio.gather(*asked, return_exceptions=True)

    first, second, missing, third = play(story)
    assert (first, second, third) == (PowerState.ON, PowerState.ON, PowerState.OFF)
    assert isinstance(missing, DeviceRefused)
    assert "read the state of outlet 30 on PDU 10.78.0.201: it has no object" in str(missing)


def test_whoever_leaves_the_queue_holds_up_nobody() -> None:
    agent = rack(o1=1, o2=1, o3=1)
    devices = SnmpDevices(agent, discharge_s=1)

    async def story() -> PowerState:
        agent.hold = asyncio.Event()
        asked = [
            asyncio.ensure_future(outlets(agent, number, devices=devices).power_state())
            for number in (1, 2, 3)
        ]
        while not agent.log:
            await asyncio.sleep(0)
        for one in asked[:2]:  # the one whose message is under way, and one that waits
            one.cancel()
        await asyncio.gather(*asked[:2], return_exceptions=True)
        agent.hold.set()
        return await asked[2]

    assert play(story) is PowerState.ON
    assert agent.at_once == 0


def test_who_waits_too_long_is_told_that_the_pdu_is_busy() -> None:
    agent = rack(o1=1, o2=1)
    devices = SnmpDevices(agent, discharge_s=1, timeout_s=3)

    async def story() -> None:
        agent.hold = asyncio.Event()
        first = asyncio.ensure_future(outlets(agent, 1, devices=devices).power_state())
        while not agent.log:
            await asyncio.sleep(0)
        with pytest.raises(DeviceBusy, match=r"others ask it too, and it hasn't answered yet\. Look at its"):
            await outlets(agent, 2, devices=devices).set_power(PowerVerb.ON)
        agent.hold.set()
        assert await first is PowerState.ON
        assert await outlets(agent, 2, devices=devices).power_state() is PowerState.ON

    play(story)


class SlowAgent(FakeAgent):
    """Takes `answer_s` for each message."""

    def __init__(self, objects: dict[Oid, Value], answer_s: float) -> None:
        super().__init__(objects)
        self._answer_s = answer_s

    async def _answers(self) -> None:
        await asyncio.sleep(self._answer_s)


@pytest.mark.parametrize("family", ["apc_rackpdu", "auto"])
@pytest.mark.parametrize("answer_s", [2.4, 600.0], ids=["slow", "dead"])
@pytest.mark.parametrize("call", ["power_state", "set_power"])
def test_no_call_lasts_longer_than_it_may(call: str, answer_s: float, family: str) -> None:
    """A slow PDU is in time with one message, and has to be asked for its family before."""
    agent = SlowAgent({object_of(1): 1, SYS_OBJECT_ID: APC_RACK_PDU}, answer_s)
    control = outlets(agent, 1, family=family)

    async def story() -> float:
        began_s = asyncio.get_running_loop().time()
        with suppress(DeviceUnreachable, DeviceBusy):
            await (control.power_state() if call == "power_state" else control.set_power(PowerVerb.ON))
        return asyncio.get_running_loop().time() - began_s

    assert run(story(), 0) < control.longest_command_s


def test_a_pdu_too_slow_for_all_outlets_at_once_comes_to_the_last() -> None:
    agent = rack(o1=1, o2=1)
    control = outlets(agent, 1, 2, timeout_s=1)

    async def story() -> None:
        agent.hold = asyncio.Event()
        asked = asyncio.ensure_future(control.set_power(PowerVerb.OFF))
        while not agent.log:
            await asyncio.sleep(0)
        agent.hold.set()  # the first is answered, and the second comes too late
        agent.hold = asyncio.Event()
        with pytest.raises(DeviceUnreachable):
            await asked
        agent.hold = None
        for _ in range(2):
            await patiently(lambda: control.set_power(PowerVerb.OFF))

    play(story)
    prefix = "set 318.1.1.12.3.3.1.1.4"
    first, second = f"{prefix}.1=2", f"{prefix}.2=2"
    assert agent.log == [first, second, "get 2", second, first, second], (
        "a command after that is one to all again"
    )


def test_another_command_is_one_to_all_outlets() -> None:
    agent = rack(o1=1, o2=1)
    control = outlets(agent, 1, 2, timeout_s=1)

    async def story() -> None:
        agent.hold = asyncio.Event()
        with pytest.raises(DeviceUnreachable):
            await control.set_power(PowerVerb.OFF)
        agent.hold = None
        await patiently(lambda: control.set_power(PowerVerb.ON))

    play(story)
    assert [line.rpartition(".")[2] for line in agent.log] == ["1=2", "1=1", "2=1"]


@pytest.mark.parametrize(
    ("address", "secret", "field"),
    [
        ({"family": "acme"}, COMMUNITY, "power.family"),
        ({}, {}, "power.community"),
        ({"version": "3"}, {}, "power.user"),
        ({"version": "3", "user": "u"}, {"priv_key": "x" * 8}, "power.auth_key"),
        ({"version": "3", "user": "é" * 17}, {}, "power.user"),
    ],
)
def test_what_cant_be_asked_is_told_by_field(
    address: dict[str, object], secret: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        SnmpDevices(rack(), discharge_s=1)("n1", {**ADDRESS, "outlets": [1], **address}, secret)
    assert caught.value.field == field


class BrokenAgent(FakeAgent):
    """Whose first read never ends, as where a name is looked up in vain, or ends by a defect."""

    def __init__(self, objects: dict[Oid, Value], defect: Exception | None) -> None:
        super().__init__(objects)
        self._defect = defect

    async def get(self, *told: Any, **more: Any) -> list[Value]:
        if not self.log:
            self.log.append("broken")
            if self._defect is not None:
                raise self._defect
            await asyncio.Event().wait()
        return await super().get(*told, **more)


def test_a_read_that_never_ends_is_silence_and_holds_up_nobody_for_ever() -> None:
    agent = BrokenAgent({object_of(1): 1, object_of(2): 1}, None)
    devices = SnmpDevices(agent, discharge_s=1)

    async def story() -> None:
        with pytest.raises(DeviceUnreachable, match="read the state of outlet 1 on PDU"):
            await outlets(agent, 1, devices=devices).power_state()
        other = outlets(agent, 2, devices=devices)
        for _ in range(3):
            with suppress(DeviceUnreachable, DeviceBusy):
                await other.set_power(PowerVerb.OFF)
                break
        assert await other.power_state() is PowerState.OFF

    run(story(), 0)


def test_a_read_that_ends_by_a_defect_is_told_once_and_holds_up_nobody() -> None:
    agent = BrokenAgent({object_of(1): 1, object_of(2): 1}, ValueError("no such thing"))
    devices = SnmpDevices(agent, discharge_s=1)

    async def story() -> None:
        with pytest.raises(ValueError, match="no such thing"):
            await outlets(agent, 1, devices=devices).power_state()
        other = outlets(agent, 2, devices=devices)
        await other.set_power(PowerVerb.OFF)
        assert await other.power_state() is PowerState.OFF

    run(story(), 0)
    assert [line for line in agent.log if not line.startswith("set")] == ["broken", "get 1"]


@pytest.mark.parametrize("later", ["after a while", "when it is seen"])
def test_what_was_told_before_others_switched_the_outlets_is_told_again(later: str) -> None:
    agent = rack(o1=2, o2=2)
    control = outlets(agent, 1, 2)

    async def story() -> None:
        agent.hold = asyncio.Event()
        asked = asyncio.ensure_future(control.set_power(PowerVerb.ON))
        while not agent.log:
            await asyncio.sleep(0)
        agent.hold.set()  # the first is answered, and the second comes too late
        agent.hold = asyncio.Event()
        with pytest.raises(DeviceUnreachable):
            await asked
        agent.hold = None
        agent.objects.update({object_of(1): 2, object_of(2): 2})  # another host, which owned the node then
        if later == "after a while":
            await asyncio.sleep(60)
            agent.log.clear()
        else:
            while await control.power_state() is not PowerState.OFF:
                pass
        while True:
            with suppress(DeviceUnreachable, DeviceBusy):
                await control.set_power(PowerVerb.ON)
                break
        assert await control.power_state() is PowerState.ON

    run(story(), 0)
