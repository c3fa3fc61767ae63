"""What a rack's wires lose, as it is told to the kernel."""

from __future__ import annotations

from typing import Any

from bmsim.faults.catalogue import completed
from bmsim.sandbox.wire_faults import ruleset
from tests.unit.bmsim.racks import rack


def rules(fault: str, **given: Any) -> str:
    node = rack().node("n1")
    assert node is not None
    return ruleset(node, fault, completed(fault, given))


def test_what_a_rack_loses_by_chance_is_the_same_each_time_whether_or_not_a_seed_is_given() -> None:
    assert rules("net.drop") == rules("net.drop") == rules("net.drop", seed=0)
    assert rules("net.drop") != rules("net.drop", seed=1)
