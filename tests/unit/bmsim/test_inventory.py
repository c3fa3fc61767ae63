from __future__ import annotations

from bmsim.rack.inventory import inventory
from tests.unit.bmsim.racks import rack


def test_the_inventory_is_a_node_file_with_all_that_enrolment_needs() -> None:
    assert inventory(rack())["nodes"][0] == {
        "name": "n1",
        "arch": "x86_64",
        "firmware": "bios",
        "vcpus": 2,
        "memory_mib": 1024,
        "disk_mib": 4096,
        "ports": [{"mac": "52:54:00:77:00:01"}],
        "boot": "ipxe",
        "power": {
            "driver": "ipmi",
            "address": "10.78.0.101",
            "port": 623,
            "user": "admin",
            "password": "correct-horse",
        },
    }


def test_every_node_is_in_the_inventory() -> None:
    assert [node["name"] for node in inventory(rack())["nodes"]] == ["n1", "n2"]
