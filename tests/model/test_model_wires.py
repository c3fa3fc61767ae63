"""Faults of the model's wires lose what those of real wires would."""

from __future__ import annotations

from typing import Any, cast

import pytest

from bmsim.faults.catalogue import completed
from scenarios.runner.model.striking import Striking
from scenarios.runner.model.wires import Link, Wires
from scenarios.runner.model.world_time import chance
from scenarios.runner.stage import Order


def test_the_nth_message_of_each_protocol_and_way_is_lost_and_no_other() -> None:
    struck: list[tuple[str, str]] = []
    wires = Wires(chance(1, "wires"), lambda fault, link, what: struck.append((link.protocol, what)))
    given = completed("net.drop", {"nth": 2, "protocols": ["ipmi", "dhcp"]})
    wires.inject("net.drop", "n1", "", given, chance(1, "net.drop"))
    sent = [
        (protocol, to_node, number, len(wires.journey(Link(protocol, "ch1", "n1"), to_node)))
        for number in (1, 2, 3)
        for protocol in ("ipmi", "dhcp", "tftp")
        for to_node in (True, False)
    ]
    lost = [(protocol, to_node, number) for protocol, to_node, number, copies in sent if not copies]
    assert lost == [(protocol, way, 2) for protocol in ("ipmi", "dhcp") for way in (True, False)]
    assert struck == [("ipmi", "lost")] * 2 + [("dhcp", "lost")] * 2


def lost(story: int, node: str = "n1", **given: Any) -> list[int]:
    """Which of a hundred messages to a node a story of this seed loses."""
    wires, none = Wires(chance(1, "wires"), lambda fault, link, what: None), cast(Any, None)
    striking = Striking(none, wires, {}, none, (), none, story, lambda fault, host: None)
    given = completed("net.drop", {"probability": 0.5, **given})
    striking.inject(Order(fault="net.drop", node=node, parameters=given))
    link = Link("ipmi", "ch1", node)
    return [number for number in range(100) if not wires.journey(link, True)]


@pytest.mark.parametrize("given", [{}, {"seed": None}])
def test_what_is_lost_is_the_storys_dice_and_those_of_what_is_struck(given: dict[str, Any]) -> None:
    assert lost(1, **given) == lost(1, **given)
    assert lost(1, **given) != lost(2, **given)
    assert lost(1, "n1", **given) != lost(1, "n2", **given)


def test_a_fault_with_a_seed_of_its_own_loses_the_same_in_every_story() -> None:
    assert lost(1, seed=0) == lost(2, seed=0)
    assert lost(1, seed=0) != lost(1, seed=7)
