from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bmsim.rack.inventory import inventory
from bmsim.rack.spec import Rack
from bmsim.rack.yaml_source import load
from provisioner.config.node_file import NodeFile
from provisioner.config.source import parse
from tests.unit.bmsim.racks import rack

RACKS = Path(__file__).parents[3] / "fixtures/racks"


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


@pytest.mark.parametrize("path", sorted(RACKS.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_rack_of_the_fixtures_can_be_enrolled_as_it_stands(path: Path) -> None:
    given = inventory(load(path, Rack))
    assert parse(yaml.safe_dump(given), NodeFile, "nodes.yaml").nodes
    if path.stem == "mixed":
        assert {node["arch"] for node in given["nodes"]} == {"x86_64", "arm64", "armhf", "tilepro64"}
        assert {node["power"]["driver"] for node in given["nodes"]} == {"ipmi", "snmp", "feeds"}
