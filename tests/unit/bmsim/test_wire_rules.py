"""What a rack's wires lose, as it is told to the kernel."""

from __future__ import annotations

from typing import Any

import pytest

from bmsim.faults.catalogue import completed
from bmsim.rack.spec import Rack
from bmsim.rack.yaml_source import parse
from bmsim.sandbox.wire_faults import ruleset
from tests.unit.bmsim.racks import TEXT

OUTLETS = """\
  - name: n3
    disks: [{size_mib: 64}]
    nics: [{mac: "52:54:00:77:00:03"}]
    outlets: [{pdu: a, outlet: 1}, {pdu: a, outlet: 2}, {pdu: b, outlet: 1}]
pdus:
  - {name: a, family: apc_rackpdu, address: 10.78.0.201}
  - {name: b, family: raritan_pdu2, address: 10.78.0.202}
  - {name: c, family: raritan_pdu2, address: 10.78.0.203}
"""
RACK = parse(TEXT + OUTLETS, Rack, "rack.yaml")


def rules(fault: str, node: str = "n1", **given: Any) -> str:
    found = RACK.node(node)
    assert found is not None
    return ruleset(RACK, found, fault, completed(fault, given))


def lost(fault: str, node: str, **given: Any) -> set[str]:
    """What the kernel loses as it comes to a bridge, as it is told."""
    chain = rules(fault, node, **given).partition("hook prerouting")[2].partition("}\n")[0]
    return {line.partition(" counter ")[0].strip() for line in chain.splitlines() if " drop" in line}


def test_what_a_rack_loses_by_chance_is_the_same_each_time_whether_or_not_a_seed_is_given() -> None:
    assert rules("net.drop") == rules("net.drop") == rules("net.drop", seed=0)
    assert rules("net.drop") != rules("net.drop", seed=1)


A_AND_B = "{ 10.78.0.201, 10.78.0.202 }"


@pytest.mark.parametrize(
    ("direction", "told"),
    [
        ("to_node", {f"ether type ip ip daddr {A_AND_B} udp dport 161"}),
        ("to_host", {f"ether type ip ip saddr {A_AND_B} udp sport 161"}),
    ],
)
def test_snmp_is_that_of_the_pdus_that_a_node_hangs_on(direction: str, told: set[str]) -> None:
    assert lost("net.partition", "n3", protocols=["snmp"], direction=direction) == told
    both = lost("net.partition", "n3", protocols=["snmp"])
    assert told < both and len(both) == 2
    assert lost("net.partition", "n1", protocols=["snmp"]) == set()


def test_messages_to_several_pdus_are_counted_together() -> None:
    (told,) = lost("net.drop", "n3", protocols=["snmp"], direction="to_node", nth=2)
    assert told.endswith("udp dport 161 numgen inc mod 4294967295 1")


def test_all_that_a_node_hangs_on_is_cut_off_with_it_unless_protocols_are_named() -> None:
    everything = lost("net.partition", "n3", direction="to_node")
    assert everything == {
        f"ether type ip ip daddr {A_AND_B}",
        "ether daddr { 52:54:00:77:00:03 }",
    }
    named = lost("net.partition", "n3", protocols=["ipmi", "http"])
    assert not any("10.78.0.20" in match for match in named)
