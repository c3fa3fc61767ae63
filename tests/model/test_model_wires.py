"""Faults of the model's wires lose what those of real wires would."""

from __future__ import annotations

from bmsim.faults.catalogue import completed
from scenarios.runner.model.wires import Link, Wires
from scenarios.runner.model.world_time import chance


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
