from __future__ import annotations

import pytest

from provisioner.api.limits import LimitPolicy, Limits
from provisioner.core.model import Instance, Node
from provisioner.core.states import InstanceState, ProvisionState
from tests.unit.api.conftest import node_entry
from tests.unit.api.ec2.conftest import Ec2, code_of


@pytest.fixture
def image(ec2: Ec2) -> str:
    """Of four nodes that are free."""
    ec2.api.register_images()
    free = {"owner": "ch1", "state": ProvisionState.AVAILABLE}
    for number in range(1, 5):
        node = ec2.api.post("/v1/nodes", node_entry(f"n{number}", number), 201)["id"]
        ec2.api.transact(lambda tx, node=node: tx.update(Node, node, free))
    return str(next(one["ImageId"] for one in ec2.read("DescribeImages")["Images"] if one["Name"] == "root"))


def test_as_many_are_run_as_the_quota_allows_and_no_fewer_than_asked_for(ec2: Ec2, image: str) -> None:
    ec2.api.context.quotas = {"*": 3}
    asked = {"ImageId": image, "InstanceType": "small"}
    assert ec2.refused("RunInstances", MinCount="4", MaxCount="4", **asked) == "InstanceLimitExceeded"
    made = ec2.read("RunInstances", MinCount="1", MaxCount="4", **asked)
    assert len(made["Instances"]) == 3
    assert ec2.refused("RunInstances", MinCount="1", MaxCount="1", **asked) == "InstanceLimitExceeded"
    told = ec2.read("DescribeAccountAttributes", **{"AttributeName.1": "max-instances"})
    assert told["AccountAttributes"][0]["AttributeValues"] == [{"AttributeValue": "3"}]


def test_a_refusal_tells_how_many_failed_ones_count_until_they_are_terminated(ec2: Ec2, image: str) -> None:
    ec2.api.context.quotas = {"*": 2}
    asked = {"ImageId": image, "InstanceType": "small", "MinCount": "1"}
    made = ec2.read("RunInstances", MaxCount="2", **asked)["Instances"]
    assert len(made) == 2
    refused = ec2.call("RunInstances", MaxCount="3", **asked)
    assert (code_of(refused), "failed" in refused.text) == ("InstanceLimitExceeded", False)
    (instance, _) = ec2.api.transact(lambda tx: tx.find(Instance))
    ec2.api.transact(lambda tx: tx.update(Instance, instance.id, {"state": InstanceState.ERROR}))
    refused = ec2.call("RunInstances", MaxCount="4", **asked)
    assert code_of(refused) == "InstanceLimitExceeded"
    assert "Of those that count, 1 failed, and count until you terminate them." in refused.text


def test_an_image_of_another_architecture_than_its_type_asks_for_is_refused(ec2: Ec2, image: str) -> None:
    ec2.api.post("/v1/flavors", {"name": "on-arm", "extra_specs": {"cpu_arch": "arm64"}}, 201)
    asked = {"ImageId": image, "InstanceType": "on-arm", "MinCount": "1", "MaxCount": "1"}
    assert ec2.refused("RunInstances", **asked) == "InvalidParameterValue"


def test_a_tenant_that_is_named_has_a_quota_of_its_own(ec2: Ec2, image: str) -> None:
    ec2.api.context.quotas = {"*": 0, "default": 4}
    asked = {"ImageId": image, "InstanceType": "small", "MinCount": "1", "MaxCount": "1"}
    assert ec2.read("RunInstances", **asked)["Instances"]
    assert Ec2(ec2.api, "acme").refused("RunInstances", **asked) == "InstanceLimitExceeded"


def test_without_a_quota_no_more_wait_than_there_are_nodes(ec2: Ec2, image: str) -> None:
    ec2.api.context.limits = Limits(LimitPolicy(waiting_instances=1))
    for name in "ab":
        ec2.api.post("/v1/instances", {"name": name, "flavor": "small", "image": "root"}, 202)
    asked = {"ImageId": image, "InstanceType": "small"}
    assert ec2.refused("RunInstances", MinCount="3", MaxCount="3", **asked) == "InstanceLimitExceeded"
    made = ec2.read("RunInstances", MinCount="1", MaxCount="3", **asked)
    assert len(made["Instances"]) == 2
