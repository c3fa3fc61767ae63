from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from provisioner.compute.power_refresh import TURNS
from provisioner.core.errors import DeviceUnreachable
from provisioner.core.model import Node, Port
from provisioner.core.states import PowerState, ProvisionState
from provisioner.drivers.fake import FakePower, FakeRack
from provisioner.protocols.power import PowerControl
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld

REFRESH_S = 3.0  # of the world's quick clock


class AskedRack(FakeRack):
    """Counts who is asked for the power; nodes in `silent` don't answer."""

    def __init__(self, world: FakeWorld) -> None:
        super().__init__(lambda event: None, world.ids)
        self.silent: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.now = self.most_at_once = 0

    def power(self, node_name: str, address: Mapping[str, object], secret: Mapping[str, str]) -> PowerControl:
        return AskedPower(self, node_name)


class AskedPower(FakePower):
    def __init__(self, rack: AskedRack, name: str) -> None:
        super().__init__(rack, name)
        self._noted, self._name = rack, name

    async def power_state(self) -> PowerState:
        rack = self._noted
        rack.asked[self._name] += 1
        rack.now += 1
        rack.most_at_once = max(rack.most_at_once, rack.now)
        await asyncio.sleep(0)
        rack.now -= 1
        if self._name in rack.silent:
            raise DeviceUnreachable("ask for power", device=self._name, answer="no answer in 4 s")
        return await super().power_state()


def play(folder: Path, nodes: list[Node], story: Callable[[FakeWorld, AskedRack], Awaitable[None]]) -> None:
    async def run() -> None:
        world = FakeWorld(folder, refresh_s=REFRESH_S)
        rack = AskedRack(world)
        world.rack = rack
        ports = [
            Port(id=f"52:54:00:77:00:{number:02x}", node_id=node.id, address=f"10.77.0.{number}")
            for number, node in enumerate(nodes, 1)
        ]
        await world.store.transact(lambda tx: tx.insert(*nodes, *ports))
        world.start()
        try:
            await story(world, rack)
        finally:
            await world.die()

    asyncio.run(run())


async def until(there: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await there():
            await asyncio.sleep(0.001)


async def power_of(world: FakeWorld, id: str) -> PowerState:
    node = await world.store.transact(lambda tx: tx.get(Node, id))
    assert node is not None
    return node.power_state


def idle(number: int, **changes: object) -> Node:
    return records.node(id=f"node-{number}", name=f"n{number}", owner=None, **changes)


def test_a_button_that_was_pressed_is_noticed_and_told_in_the_timeline(tmp_path: Path) -> None:
    async def story(world: FakeWorld, rack: AskedRack) -> None:
        await until(lambda: _is(world, "node-1", PowerState.OFF))
        rack.machine("n1").power = PowerState.ON
        await until(lambda: _is(world, "node-1", PowerState.ON))
        told = [event.text for event in await world.events() if event.name == "power.found"]
        assert told == ["off, was unknown", "on, was off"]

    play(tmp_path, [idle(1)], story)


def test_a_device_that_does_not_answer_makes_the_power_unknown_and_says_why(tmp_path: Path) -> None:
    async def story(world: FakeWorld, rack: AskedRack) -> None:
        await until(lambda: _is(world, "node-1", PowerState.OFF))
        rack.silent.add("n1")
        await until(lambda: _is(world, "node-1", PowerState.UNKNOWN))
        told = [event.text for event in await world.events() if event.name == "power.found"]
        assert told[-1].startswith("unknown, was off: ask for power on n1: no answer in 4 s")
        rack.silent.clear()
        await until(lambda: _is(world, "node-1", PowerState.OFF))

    play(tmp_path, [idle(1)], story)


def test_a_device_that_refused_our_password_is_left_in_peace(tmp_path: Path) -> None:
    async def story(world: FakeWorld, rack: AskedRack) -> None:
        await until(lambda: _asked(rack, "n1", 3))
        assert rack.asked["n2"] == 0

    play(tmp_path, [idle(1), idle(2, state=ProvisionState.ENROL_FAILED)], story)


def test_nodes_are_asked_in_turn_and_few_at_once(tmp_path: Path) -> None:
    nodes = [idle(number) for number in range(1, 2 * TURNS + 8)]

    async def story(world: FakeWorld, rack: AskedRack) -> None:
        await until(lambda: _asked(rack, "n1", 3))
        assert {rack.asked[node.name] for node in nodes} <= {2, 3}, "each once in every round"
        assert rack.most_at_once <= 2

    play(tmp_path, nodes, story)


async def _is(world: FakeWorld, id: str, power: PowerState) -> bool:
    return await power_of(world, id) is power


async def _asked(rack: AskedRack, name: str, times: int) -> bool:
    return rack.asked[name] >= times
