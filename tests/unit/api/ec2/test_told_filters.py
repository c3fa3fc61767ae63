"""What is told can be asked for by EC2's filters; of its others it is said that they aren't supported."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.loaders import Loader

from provisioner.api.ec2.operations import OPERATIONS
from provisioner.api.ec2.other_filters import OTHERS
from provisioner.api.ec2.shapes import VERSION
from provisioner.core.model import Failure, Flavor
from provisioner.core.states import InstanceState
from tests.unit.api.ec2.conftest import Ec2, code_of
from tests.unit.records import image, instance


@pytest.fixture
def told(ec2: Ec2) -> Ec2:
    """Two instances, one of which failed, an image of which one can't be made, two flavors, two tags."""
    failure = Failure(code="image-too-large", message="it doesn't fit")
    runs = instance(
        id="01234567-89ab-4def-8123-000000000000", state=InstanceState.ACTIVE, client_token="once"
    )
    lost = instance(
        id="11234567-89ab-4def-8123-000000000000", name="lost", state=InstanceState.ERROR, failure=failure
    )
    wide = Flavor(
        id="wide", name="wide", cpus=8, memory_mib=64, disk_mib=4096, extra_specs={"cpu_arch": "!= x86_64"}
    )
    small = Flavor(id="small", name="small", cpus=1, memory_mib=8, disk_mib=1)
    broken = image(id="21234567-89ab-4def-8123-000000000000", failure=failure)
    ec2.api.transact(lambda tx: tx.insert(runs, lost, wide, small, broken))
    ec2.read(
        "CreateTags", **{"ResourceId.1": "i-0123456789ab4def8", "Tag.1.Key": "Owner", "Tag.1.Value": "red"}
    )
    ec2.read(
        "CreateTags", **{"ResourceId.1": "i-0123456789ab4def8", "Tag.1.Key": "Name", "Tag.1.Value": "red"}
    )
    return ec2


@pytest.mark.parametrize(
    ("action", "name", "value", "member", "found"),
    [
        ("DescribeInstances", "state-reason-code", "Server.*", "Reservations", 1),
        ("DescribeInstances", "state-reason-message", "*doesn't fit", "Reservations", 1),
        ("DescribeInstances", "availability-zone-id", "metala", "Reservations", 2),
        ("DescribeInstances", "monitoring-state", "enabled", "Reservations", 0),
        ("DescribeInstances", "source-dest-check", "false", "Reservations", 2),
        ("DescribeInstances", "ebs-optimized", "true", "Reservations", 0),
        ("DescribeInstances", "client-token", "on*", "Reservations", 1),
        ("DescribeInstances", "platform", "windows", "Reservations", 0),
        ("DescribeInstances", "block-device-mapping.status", "*", "Reservations", 0),
        ("DescribeImages", "owner-alias", "amazon", "Images", 0),
        ("DescribeInstanceTypes", "hypervisor", "nitro", "InstanceTypes", 0),
        ("DescribeAvailabilityZones", "message", "*", "AvailabilityZones", 0),
        ("DescribeInstanceStatus", "instance-status.reachability", "passed", "InstanceStatuses", 1),
        ("DescribeInstanceStatus", "system-status.reachability", "failed", "InstanceStatuses", 0),
        ("DescribeInstanceStatus", "availability-zone-id", "metala", "InstanceStatuses", 1),
        ("DescribeImages", "state-reason-message", "*doesn't fit", "Images", 1),
        ("DescribeInstanceTypes", "processor-info.supported-architecture", "x86_64", "InstanceTypes", 1),
        ("DescribeInstanceTypes", "processor-info.supported-architecture", "arm64", "InstanceTypes", 2),
        ("DescribeInstanceTypes", "instance-storage-info.total-size-in-gb", "4", "InstanceTypes", 1),
        ("DescribeInstanceTypes", "memory-info.size-in-mib", "64", "InstanceTypes", 1),
        ("DescribeInstanceTypes", "bare-metal", "true", "InstanceTypes", 2),
        ("DescribeInstanceTypes", "supported-usage-class", "spot", "InstanceTypes", 0),
        ("DescribeInstanceTypes", "supported-virtualization-type", "hvm", "InstanceTypes", 2),
        ("DescribeAvailabilityZones", "group-name", "metal", "AvailabilityZones", 1),
        ("DescribeAvailabilityZones", "opt-in-status", "opted-in", "AvailabilityZones", 0),
        ("DescribeTags", "tag:Owner", "red", "Tags", 1),
        ("DescribeTags", "tag:Owner", "blue", "Tags", 0),
    ],
)
def test_what_is_told_is_found_by_its_filter(
    told: Ec2, action: str, name: str, value: str, member: str, found: int
) -> None:
    answer: Any = told.read(action, **{"Filter.1.Name": name, "Filter.1.Value.1": value})
    assert len(answer[member]) == found


def documented(operation: str) -> set[str]:
    """The filters of an operation at EC2, from what botocore's model tells of them."""
    raw = Loader().load_service_model("ec2", "service-2", VERSION)
    members = raw["shapes"][raw["operations"][operation]["input"]["shape"]]["members"]
    text = members["Filters"]["documentation"]
    # Of one of them, the values are a list as well.
    values = {"informational", "low", "medium", "high", "critical"}
    return set(re.findall(r"<li>\s*<p>\s*<code>([^<]*)</code>(?::&lt;key&gt;)?\s*[-–]", text)) - values


@pytest.mark.parametrize("operation", [name for name, one in OPERATIONS.items() if "Filters" in one.takes])
def test_every_filter_of_ec2s_is_known_and_no_other(told: Ec2, operation: str) -> None:
    answers = {}
    names = documented(operation)
    assert len(names) >= 3
    for name in [*names, "made-up"]:
        name = name.replace("tag:&lt;key&gt;", "tag:a")
        name = "tag:a" if name == "tag" else name
        answer = told.call(operation, **{"Filter.1.Name": name, "Filter.1.Value.1": "x"})
        answers[name] = "" if answer.status_code == 200 else code_of(answer)
        if answers[name] == "UnsupportedOperation":
            assert f"The filter {name} " in answer.text
    assert answers.pop("made-up") == "InvalidParameterValue"
    others = {name for name, code in answers.items() if code}
    assert {answers[name] for name in others} <= {"UnsupportedOperation"}
    assert others == OTHERS.get(operation, frozenset())


def test_an_instance_tells_the_token_that_it_was_ordered_by(told: Ec2) -> None:
    found = told.read("DescribeInstances")["Reservations"]
    assert [one["Instances"][0].get("ClientToken") for one in found] == ["once", None]


def test_a_type_tells_the_architectures_of_images_that_it_may_be_run_with(told: Ec2) -> None:
    types = told.read("DescribeInstanceTypes")["InstanceTypes"]
    found = {one["InstanceType"]: one["ProcessorInfo"]["SupportedArchitectures"] for one in types}
    assert found == {
        "small": ["x86_64", "arm64", "armhf", "tilepro64"],
        "wide": ["arm64", "armhf", "tilepro64"],
    }
