"""What becomes of SNMP messages on wires that lose them: of a rack's by the kernel, and of the model's."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import pytest

from bmsim.api import RunningRack
from provisioner.core.pdu_pace import MESSAGE_S
from provisioner.drivers.snmp_messages import Agent
from scenarios.runner.virtual_time import run
from tests.contract.drivers.snmp_asks import Verb, ask
from tests.model.pdu_bench import STORY, Bench
from tests.wire.bmsim.conftest import rack_file
from tests.wire.bmsim.traces import DEADLINE_S

PDU = next(pdu for pdu in STORY.pdus if pdu.name == "a1")
NODE, OUTLET = "n2", 2
PATIENCE_S = 20.0
"""With what has to answer, on a machine that stands still for seconds."""


class Way(Protocol):
    """From a compute host to the PDU that n2 hangs on."""

    def breaks(self, fault: str, **given: Any) -> None:
        """Heals what it broke before."""
        ...

    async def asks(self, verb: Verb, timeout_s: float = MESSAGE_S) -> str: ...

    async def carried_out(self, count: int) -> bool:
        """Whether the PDU comes to have done so many commands, and no more of them."""
        ...


class ByModel:
    def __init__(self) -> None:
        self._bench = Bench()

    def breaks(self, fault: str, **given: Any) -> None:
        self._bench.breaks(fault, NODE, **given)

    async def asks(self, verb: Verb, timeout_s: float = MESSAGE_S) -> str:
        agent = Agent(PDU.name, PDU.address, 161)
        return await ask(self._bench.snmp, agent, PDU.community, OUTLET, verb, timeout_s)

    async def carried_out(self, count: int) -> bool:
        return len(self._bench.commands()) == count


class ByRack:
    def __init__(self, rack: RunningRack) -> None:
        self._rack = rack
        self._before = self._commands()

    def breaks(self, fault: str, **given: Any) -> None:
        self._rack.heal(NODE)
        self._rack.inject(NODE, fault, **given)

    async def asks(self, verb: Verb, timeout_s: float = MESSAGE_S) -> str:
        given = json.dumps([PDU.name, str(PDU.address), "private", OUTLET, verb, timeout_s])
        argv = [sys.executable, "-m", "tests.contract.drivers.snmp_asks", given]
        return str(self._rack.run("ch1", argv, capture_output=True, text=True, check=True).stdout.strip())

    async def carried_out(self, count: int) -> bool:
        end_s = time.monotonic() + DEADLINE_S
        while (done := self._commands() - self._before) < count and time.monotonic() < end_s:
            await asyncio.sleep(0.02)
        return done == count

    def _commands(self) -> int:
        return sum(entry.command.startswith("outlet.") for entry in self._rack.received())


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRack]:
    node = {"name": NODE, "memory_mib": 256, "disks": [{"size_mib": 64}]}
    node |= {"nics": [{"mac": "52:54:00:77:00:02"}], "outlets": [{"pdu": PDU.name, "outlet": OUTLET}]}
    pdu = {"name": PDU.name, "family": "apc_rackpdu", "address": str(PDU.address)}
    file: Mapping[str, Any] = {**rack_file(), "nodes": [node], "pdus": [pdu]}
    with RunningRack.up(file, tmp_path_factory.mktemp("lost")) as running:
        yield running


Play = Callable[[Callable[[Way], Awaitable[None]]], None]


@pytest.fixture(params=["model", pytest.param("rack", marks=[pytest.mark.wire, pytest.mark.rack])])
def play(request: pytest.FixtureRequest) -> Iterator[Play]:
    if request.param == "model":

        def by_model(story: Callable[[Way], Awaitable[None]]) -> None:
            async def main() -> None:
                await story(ByModel())

            run(main(), 0)

        yield by_model
        return
    running: RunningRack = request.getfixturevalue("rack")

    async def by_rack(story: Callable[[Way], Awaitable[None]]) -> None:
        await story(ByRack(running))

    yield lambda story: asyncio.run(by_rack(story))
    running.heal(NODE)


def no_answer(tried: str, waited_s: float) -> str:
    advice = "Look at its power and its network, and check the community: a wrong one is not answered at all"
    return f"DeviceUnreachable: {tried} on a1: no answer in {waited_s:g} s. {advice}"


@pytest.mark.parametrize(("timeout_s", "waited_s"), [(MESSAGE_S, 2.5), (0.7, 1.0), (1.0, 1.0)])
def test_a_look_that_is_lost_is_told_as_no_answer_and_after_how_long(
    play: Play, timeout_s: float, waited_s: float
) -> None:
    async def story(way: Way) -> None:
        way.breaks("net.drop", nth=1, protocols=["snmp"])
        assert await way.asks("look", timeout_s) == no_answer("look", waited_s)

    play(story)


@pytest.mark.parametrize(("timeout_s", "waited_s"), [(MESSAGE_S, 2.5), (0.7, 1.0)])
def test_the_model_takes_the_time_that_the_error_tells(timeout_s: float, waited_s: float) -> None:
    async def main() -> float:
        way, loop = ByModel(), asyncio.get_running_loop()
        way.breaks("net.partition")
        began_s = loop.time()
        assert await way.asks("off", timeout_s) == no_answer("switch", waited_s)
        return loop.time() - began_s

    assert run(main(), 0) == pytest.approx(waited_s)


@pytest.mark.parametrize(
    ("direction", "carried_out"),
    [("to_node", (0,)), ("to_host", (1,)), ("both", (0, 1))],
    ids=["command", "answer", "command, then answer"],
)
def test_a_command_that_is_told_again_is_done_once_where_it_was_lost_and_twice_where_its_answer_was(
    play: Play, direction: str, carried_out: Sequence[int]
) -> None:
    """carried_out: after each that gets no answer."""

    async def story(way: Way) -> None:
        way.breaks("net.drop", nth=1, protocols=["snmp"], direction=direction)
        for count in carried_out:
            assert await way.asks("off") == no_answer("switch", MESSAGE_S)
            assert await way.carried_out(count)
        assert await way.asks("off", PATIENCE_S) == "done"
        assert await way.carried_out(carried_out[-1] + 1)

    play(story)


@pytest.mark.parametrize("given", [{}, {"protocols": ["snmp"]}])
@pytest.mark.parametrize(("direction", "carried_out"), [("both", 0), ("to_node", 0), ("to_host", 1)])
def test_a_pdu_that_is_cut_off_is_silent_and_hears_what_still_reaches_it(
    play: Play, direction: str, carried_out: int, given: Mapping[str, Any]
) -> None:
    async def story(way: Way) -> None:
        way.breaks("net.partition", direction=direction, **given)
        assert await way.asks("off") == no_answer("switch", MESSAGE_S)
        assert await way.carried_out(carried_out)
        way.breaks("net.partition", protocols=["http"])
        assert await way.asks("on", PATIENCE_S) == "done"
        assert await way.carried_out(carried_out + 1)

    play(story)
