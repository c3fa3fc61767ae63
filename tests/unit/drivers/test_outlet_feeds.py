"""Nodes with several power supplies."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.drivers.outlet_feeds import FeedDevices
from provisioner.drivers.snmp import SnmpDevices
from provisioner.protocols.power import is_feeds
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
