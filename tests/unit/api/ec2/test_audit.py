from __future__ import annotations

from typing import Any

from provisioner.core.ec2_ids import instance_id
from provisioner.core.model import Node
from provisioner.core.states import ProvisionState
from tests.unit.api.conftest import Api, node_entry
from tests.unit.api.ec2.conftest import Ec2


def told(ec2: Ec2) -> list[tuple[str, str, str]]:
    found: list[dict[str, Any]] = ec2.api.get("/v1/audit")["items"]
    return [(one["operation"], one["target"], one["outcome"]) for one in found if one["credential"] == ec2.id]


def test_ec2_requests_are_recorded_by_the_access_key_that_signed_them(ec2: Ec2) -> None:
    unknown = {"InstanceId.1": "i-00000000000000000"}
    assert ec2.read("CreateKeyPair", KeyName="me")["KeyName"] == "me"
    assert ec2.call("DescribeKeyPairs").status_code == 200
    assert ec2.refused("TerminateInstances", **unknown) == "InvalidInstanceID.NotFound"
    assert ec2.refused("DeleteKeyPair", KeyName="me", DryRun="true") == "DryRunOperation"
    assert told(ec2) == [
        ("ec2 TerminateInstances", "i-00000000000000000", "failed:InvalidInstanceID.NotFound"),
        ("ec2 CreateKeyPair", "me", "done"),
    ]
    (record,) = ec2.api.get("/v1/audit", outcome="done", tenant="default", user="admin", limit=1)["items"]
    assert record["operation"] == "POST /v1/access-keys"


def test_a_key_without_the_right_is_refused_and_that_is_recorded(ec2: Ec2) -> None:
    made = ec2.api.post("/v1/access-keys", {"role": "reader"}, 201)
    ec2.id, ec2.secret = made["id"], made["secret"]
    assert ec2.refused("DeleteKeyPair", KeyName="me") == "UnauthorizedOperation"
    assert told(ec2) == [("ec2 DeleteKeyPair", "", "refused")]


def test_an_order_is_recorded_with_the_instances_that_it_made(ec2: Ec2) -> None:
    api = ec2.api
    api.register_images()
    api.post("/v1/nodes", node_entry(), 201)

    (node,) = api.transact(lambda tx: tx.find(Node))
    free = {"state": ProvisionState.AVAILABLE, "work": None, "owner": "ch1"}
    api.transact(lambda tx: tx.update(Node, node.id, free))
    image = next(one["id"] for one in api.get("/v1/images")["items"] if one["kind"] == "root")
    order = {"ImageId": f"ami-{image.replace('-', '')[:17]}", "InstanceType": "small"}
    ran = ec2.read("RunInstances", MinCount="1", MaxCount="1", UserData="c2VjcmV0", **order)
    (instance,) = api.get("/v1/instances")["items"]
    assert ran["Instances"][0]["InstanceId"] == instance_id(instance["id"])
    assert told(ec2)[0] == ("ec2 RunInstances", f"{order['ImageId']}/{instance_id(instance['id'])}", "done")


def unproven(api: Api) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get("/v1/audit", outcome="unproven")["items"]
    return items[::-1]


def test_a_wrong_signature_is_recorded_with_the_key_that_it_is_said_to_be_of(api: Api, ec2: Ec2) -> None:
    ec2.secret = "wrong"
    for _ in range(3):
        ec2.refused("DescribeInstances")
    ec2.id = "AKIAOFSOMEBODYELSES0"
    ec2.refused("DescribeInstances")
    api.call("POST", "/ec2", content=b"Action=DescribeInstances", headers={"Authorization": ""})
    found = [(one["target"], one["tenant"], one["credential"]) for one in unproven(api)]
    key = api.get("/v1/access-keys")["items"][0]["id"]
    assert found == [
        ("SignatureDoesNotMatch", "default", key),
        ("InvalidClientTokenId", "", ""),
    ], "of those without a key of ours, one kind is recorded for an address"
    assert {one["operation"] for one in unproven(api)} == {"ec2 authenticate"}
