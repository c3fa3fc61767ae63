from __future__ import annotations

from typing import Any

import pytest

from provisioner.core.model import Instance, Node
from provisioner.core.states import ProvisionState
from tests.unit.api.conftest import Api, node_entry
from tests.unit.api.ec2.conftest import Ec2


def enrol(api: Api, **zones: str) -> None:
    """Nodes by their zones, all free."""
    free = {"state": ProvisionState.AVAILABLE, "owner": "h"}
    for number, (name, zone) in enumerate(zones.items(), start=1):
        made = api.post("/v1/nodes", node_entry(name, number, zone=zone), 201)
        api.transact(lambda tx, id=made["id"]: tx.update(Node, id, free))  # type: ignore[misc]


def names(ec2: Ec2, **parameters: str) -> list[str]:
    found = ec2.read("DescribeAvailabilityZones", **parameters)["AvailabilityZones"]
    return [zone["ZoneName"] for zone in found]


@pytest.mark.parametrize(
    ("zones", "told"),
    [
        ({}, ["metala"]),
        ({"n1": ""}, ["metala"]),
        ({"n1": "", "n2": "east", "n3": "east", "n4": "west"}, ["east", "metala", "west"]),
        ({"n1": "east", "n2": "west"}, ["east", "west"]),
        ({"n1": "", "n2": "metala"}, ["metala"]),
    ],
)
def test_zones_are_those_that_nodes_are_in(
    api: Api, ec2: Ec2, zones: dict[str, str], told: list[str]
) -> None:
    enrol(api, **zones)
    assert names(ec2) == told


def test_zones_are_asked_for_by_name_and_by_filter(api: Api, ec2: Ec2) -> None:
    enrol(api, n1="east-1", n2="east-2", n3="west")
    assert names(ec2, **{"ZoneName.1": "west", "ZoneName.2": "east-1"}) == ["east-1", "west"]
    assert names(ec2, **{"Filter.1.Name": "zone-name", "Filter.1.Value.1": "east-?"}) == ["east-1", "east-2"]
    assert ec2.refused("DescribeAvailabilityZones", **{"ZoneId.1": "x"}) == "InvalidParameterValue"


def run(ec2: Ec2, zone: str, count: int = 1, **more: str) -> dict[str, str]:
    image = next(one["ImageId"] for one in ec2.read("DescribeImages")["Images"] if one["Name"] == "root")
    return {
        "ImageId": image,
        "InstanceType": "small",
        "MinCount": str(count),
        "MaxCount": str(count),
        "Placement.AvailabilityZone": zone,
        **more,
    }


def test_an_instance_is_placed_in_the_zone_that_is_asked_for(api: Api, ec2: Ec2) -> None:
    api.register_images()
    enrol(api, n1="", n2="east", n3="east")
    assert ec2.refused("RunInstances", **run(ec2, "east", 3)) == "InsufficientInstanceCapacity"
    assert ec2.refused("RunInstances", **run(ec2, "nowhere")) == "InvalidParameterValue"
    assert ec2.refused("RunInstances", **run(ec2, "metala", 2)) == "InsufficientInstanceCapacity"
    conflicting = {"Placement.AvailabilityZoneId": "metala"}
    assert ec2.refused("RunInstances", **run(ec2, "east", **conflicting)) == "InvalidParameterCombination"

    def zone_of(answer: dict[str, Any]) -> str:
        return str(answer["Instances"][0]["Placement"]["AvailabilityZone"])

    assert zone_of(ec2.read("RunInstances", **run(ec2, "metala"))) == "metala"
    made = ec2.read("RunInstances", **run(ec2, "east", 2))
    assert zone_of(made) == "east"
    wishes = sorted(one.zone for one in api.transact(lambda tx: tx.find(Instance)))
    assert wishes == ["default", "east", "east"]
    wanted = {"Filter.1.Name": "availability-zone", "Filter.1.Value.1": "ea*"}
    found = ec2.read("DescribeInstances", **wanted)["Reservations"]
    assert [len(one["Instances"]) for one in found] == [2]


def test_a_host_that_is_reserved_for_another_tenant_is_as_nobodys(api: Api, ec2: Ec2) -> None:
    api.register_images()
    enrol(api, n1="", kept="")
    reserved = {"reserved_for": "blue"}
    api.transact(
        lambda tx: [tx.update(Node, one.id, reserved) for one in tx.find(Node, where={"name": "kept"})]
    )
    for host in ("kept", "n9"):
        refused = ec2.refused("RunInstances", **run(ec2, "metala", **{"Placement.HostId": host}))
        assert refused == "InvalidHostID.NotFound"
    ec2.read("RunInstances", **run(ec2, "metala", **{"Placement.HostId": "n1"}))
