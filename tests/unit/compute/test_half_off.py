"""A node with two feeds of which one stays on, as its operator sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from provisioner.compute.devices import Device, PowerPolicy, PowerSequencer
from provisioner.compute.lease import LeaseKeeper
from provisioner.core.errors import TransientError
from provisioner.core.outlets import OutletState, Seen, together
from provisioner.core.states import PowerState
from provisioner.drivers.fake import FakeRack
from provisioner.drivers.outlet_feeds import SeveralFeeds
from provisioner.protocols.power import PowerControl, PowerVerb
from provisioner.store.memory import MemoryStore
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld
from tests.unit.fakes import JumpingClock


class Outlet:
    """`PowerControl` and `Feeds` of one outlet that is on. stuck: it takes each command, and stays so."""

    longest_command_s = 1.0
    discharge_s = 0.0

    def __init__(self, *, stuck: bool = False) -> None:
        self.state = OutletState.ON
        self._stuck = stuck

    def last_seen(self) -> Mapping[str, Seen]:
        return {"outlet 1": Seen(self.state)}

    async def power_state(self) -> PowerState:
        return together([self.state])

    async def set_power(self, verb: PowerVerb) -> None:
        if not self._stuck:
            self.state = OutletState(verb)


class TwoFeeds(FakeRack):
    """Its one node hangs on `a` and `b`."""

    def __init__(self, world: FakeWorld) -> None:
        super().__init__(lambda event: None, world.ids)
        self.a, self.b = Outlet(), Outlet()

    def power(self, node_name: str, address: Mapping[str, object], secret: Mapping[str, str]) -> PowerControl:
        return SeveralFeeds({"feed A": self.a, "feed B": self.b}, None)


def test_a_node_that_is_found_half_off_is_told_by_feed_in_its_timeline(tmp_path: Path) -> None:
    async def run() -> None:
        world = FakeWorld(tmp_path, refresh_s=3.0)
        world.rack = rack = TwoFeeds(world)  # type: ignore[assignment]
        await world.store.transact(lambda tx: tx.insert(records.node(owner=None)))
        world.start()

        async def told() -> list[str]:
            return [event.text for event in await world.events() if event.name == "power.found"]

        async def becomes(power: PowerState) -> None:
            async with asyncio.timeout(20):
                while (await world.node()).power_state is not power:
                    await asyncio.sleep(0.001)

        try:
            await becomes(PowerState.ON)
            rack.a.state = OutletState.OFF
            await becomes(PowerState.UNKNOWN)
            rack.b.state = OutletState.OFF
            await becomes(PowerState.OFF)
        finally:
            await world.die()
        assert await told() == [
            "on, was unknown: feed A outlet 1 on, feed B outlet 1 on",
            "unknown, was on: feed A outlet 1 off, feed B outlet 1 on",
            "off, was unknown: feed A outlet 1 off, feed B outlet 1 off",
        ]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("stuck", "answer"),
    [
        ("feed A", "acknowledged, but not off after 60 s (feed A outlet 1 on, feed B outlet 1 off)"),
        ("feed B", "acknowledged, but not off after 60 s (feed A outlet 1 off, feed B outlet 1 on)"),
    ],
)
def test_a_feed_that_stays_on_is_named_by_the_command_that_it_has_acknowledged(
    stuck: str, answer: str
) -> None:
    """And half off is not off: whoever waits for it does so in vain."""

    async def run() -> None:
        clock = JumpingClock()
        lease = LeaseKeeper(MemoryStore(clock.wall), clock, "ch1", 1e9, holder="ch1")
        await lease.acquire()
        feeds = {name: Outlet(stuck=name == stuck) for name in ("feed A", "feed B")}
        node = Device("feeds device of node n1", SeveralFeeds(feeds, None))
        with pytest.raises(TransientError) as caught:
            await PowerSequencer(lease, clock, PowerPolicy()).ensure(node, PowerState.OFF)
        assert (caught.value.tried, caught.value.answer) == ("switch power off", answer)
        assert caught.value.advice.startswith("Look at the outlet: its lamp and relay")

    asyncio.run(run())
