"""Nodes with several power supplies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from provisioner.core.errors import DeviceUnreachable
from provisioner.core.states import PowerState
from provisioner.drivers.outlet_feeds import FeedDevices, SeveralFeeds
from provisioner.drivers.outlet_tries import LATELY_S
from provisioner.drivers.snmp import SnmpDevices
from provisioner.protocols.power import PowerVerb, is_feeds
from scenarios.runner.virtual_time import run
from tests.unit.drivers.fake_pdu import FakeAgent

FEED = {"driver": "snmp", "family": "apc_rackpdu", "outlets": [1]}


@pytest.mark.parametrize(
    ("own", "of_feeds", "discharge_s"),
    [
        ({}, ({}, {}), 10.0),
        ({}, ({"discharge_s": 30}, {}), 30.0),
        ({}, ({"discharge_s": 3}, {"discharge_s": 4}), 4.0),
        ({"discharge_s": 1}, ({"discharge_s": 30}, {}), 1.0),
    ],
    ids=["said nowhere", "by one of them", "by both", "for the node"],
)
def test_a_node_stays_off_for_as_long_as_its_slowest_supply_discharges(
    own: dict[str, Any], of_feeds: tuple[dict[str, Any], ...], discharge_s: float
) -> None:
    devices = FeedDevices({"snmp": SnmpDevices(FakeAgent({}), discharge_s=10)})
    feeds = [{**FEED, "address": f"10.78.0.20{number}", **more} for number, more in enumerate(of_feeds)]
    secret = {f"{number}.community": "open-sesame" for number in range(len(feeds))}
    control = devices("n1", {"feeds": feeds, **own}, secret)
    assert is_feeds(control)
    assert control.discharge_s == discharge_s


class Feed:
    """`PowerControl` of an outlet that does as it is told, while it answers. told: every command."""

    longest_command_s = 1.0

    def __init__(self) -> None:
        self.told: list[str] = []
        self.answers = True
        self._power = PowerState.OFF

    async def power_state(self) -> PowerState:
        return self._power

    async def set_power(self, verb: PowerVerb) -> None:
        self.told.append(str(verb))
        if not self.answers:
            raise DeviceUnreachable(f"switch {verb}", device="PDU b", answer="no answer in 2.5 s")
        self._power = PowerState.ON if verb is PowerVerb.ON else PowerState.OFF


class Node:
    """On two feeds, of which the second is silent at first."""

    def __init__(self) -> None:
        self.a, self.b = Feed(), Feed()
        self.b.answers = False
        self.control = SeveralFeeds({"feed A": self.a, "feed B": self.b}, None)

    async def told_in_vain(self, verb: PowerVerb) -> None:
        with pytest.raises(DeviceUnreachable, match="PDU b"):
            await self.control.set_power(verb)


def test_a_feed_that_has_acknowledged_is_not_told_again_while_the_other_is_silent() -> None:
    async def story() -> None:
        node = Node()
        for _ in range(3):
            await node.told_in_vain(PowerVerb.ON)
            await asyncio.sleep(LATELY_S - 1)
        node.b.answers = True
        await node.control.set_power(PowerVerb.ON)
        assert (node.a.told, node.b.told) == (["on"], ["on"] * 4)
        await node.control.set_power(PowerVerb.ON)
        assert node.a.told == ["on"] * 2, "both have acknowledged it, and it had no effect"

    run(story(), 0)


@pytest.mark.parametrize(
    ("later_s", "verb"),
    [(LATELY_S, PowerVerb.ON), (0.0, PowerVerb.OFF)],
    ids=["after a while", "of another command"],
)
def test_what_a_feed_has_acknowledged_is_forgotten(later_s: float, verb: PowerVerb) -> None:
    async def story() -> None:
        node = Node()
        await node.told_in_vain(PowerVerb.ON)
        await asyncio.sleep(later_s)
        await node.told_in_vain(verb)
        assert node.a.told == ["on", str(verb)]

    run(story(), 0)
