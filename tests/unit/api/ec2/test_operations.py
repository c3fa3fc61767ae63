from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from provisioner.api.ec2.ids import TOLD_S
from provisioner.api.ec2.operations import OPERATIONS
from provisioner.api.ec2.shapes import model
from provisioner.api.ec2.tag_pruning import forget_tags_of_nothing
from provisioner.core.model import Failure, Instance, KeyPair, Node, NodeRequest, Tag
from provisioner.core.states import InstanceState, PowerState, ProvisionState
from tests.unit.api.conftest import Api
from tests.unit.api.ec2.conftest import PUBLIC_KEY, Ec2, code_of
from tests.unit.records import instance, node


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_and_its_parameters_are_ec2s(name: str) -> None:
    known = {member.name for member in model().input(name).members}
    operation = OPERATIONS[name]
    assert "DryRun" in known
    assert operation.takes | operation.ignores | set(operation.as_it_is) <= known
    assert not operation.takes & operation.ignores
    # What a client must give has to mean something.
    assert model().input(name).required <= operation.takes


def test_an_operation_that_is_ec2s_and_not_ours_is_named(ec2: Ec2) -> None:
    answer = ec2.call("CreateVpc", CidrBlock="10.0.0.0/8")
    assert code_of(answer) == "UnsupportedOperation"
    assert "CreateVpc" in answer.text


@pytest.mark.parametrize(
    ("parameter", "value", "code"),
    [
        ("InstanceInitiatedShutdownBehavior", "stop", "MissingParameter"),  # of the image, which comes later
        ("InstanceInitiatedShutdownBehavior", "terminate", "UnsupportedOperation"),
        ("DisableApiTermination", "false", "MissingParameter"),
        ("DisableApiTermination", "true", "UnsupportedOperation"),
    ],
)
def test_how_things_are_may_be_asked_for(ec2: Ec2, parameter: str, value: str, code: str) -> None:
    assert ec2.refused("RunInstances", MinCount="1", MaxCount="1", **{parameter: value}) == code


def test_what_an_operation_needs_is_asked_for(ec2: Ec2) -> None:
    ec2 = Ec2(ec2.api, role="operator")
    for name in OPERATIONS:
        answer = ec2.call(name)
        if model().input(name).required:
            assert code_of(answer) == "MissingParameter", name
        else:
            assert answer.status_code in (200, 400), name


@pytest.mark.parametrize(("action", "code"), [("Nonsense", "InvalidAction"), ("", "MissingAction")])
def test_an_operation_that_is_nobodys_is_refused(ec2: Ec2, action: str, code: str) -> None:
    assert ec2.refused(action) == code


def test_another_version_is_refused(ec2: Ec2) -> None:
    assert ec2.refused("DescribeRegions", Version="2009-04-04") == "NoSuchVersion"


def test_a_dry_run_says_that_it_would_have_been_done(ec2: Ec2) -> None:
    answer = ec2.call("DescribeRegions", DryRun="true")
    assert (answer.status_code, code_of(answer)) == (412, "DryRunOperation")


def test_a_defect_is_told_as_ec2_tells_it(ec2: Ec2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provisioner.api.ec2.endpoint.decode", lambda body: {"Action": 1 / 0})
    answer = ec2.call("DescribeRegions")
    assert (answer.status_code, code_of(answer)) == (500, "InternalError")
    assert "ZeroDivision" not in answer.text


def test_answers_name_their_request(ec2: Ec2) -> None:
    answer = ec2.call("DescribeRegions")
    assert f"<requestId>{answer.headers['x-amzn-requestid']}</requestId>" in answer.text


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_requests_are_posted(ec2: Ec2, method: str) -> None:
    assert ec2.api.call(method, "/ec2").status_code == 405


def test_every_operation_answers_what_botocore_reads(api: Api, ec2: Ec2) -> None:
    """One answer of each, read by the model's shape; what it doesn't know would have been a defect."""
    api.register_images()
    api.transact(lambda tx: tx.insert(node(id="0" * 8, state=ProvisionState.AVAILABLE)))
    image = root_image(ec2)
    ran = ec2.read("RunInstances", ImageId=image, InstanceType="small", MinCount="1", MaxCount="1")
    id = ran["Instances"][0]["InstanceId"]
    uuid = api.transact(lambda tx: tx.find(Instance))[0].id
    placed = {"state": InstanceState.ACTIVE, "node_id": "0" * 8, "address": "10.0.0.1"}
    api.transact(lambda tx: tx.update(Instance, uuid, placed))
    api.transact(lambda tx: tx.update(Node, "0" * 8, {"power_state": PowerState.ON, "instance_id": uuid}))
    on = {"InstanceId.1": id}
    tagged = {"ResourceId.1": id, "Tag.1.Key": "a", "Tag.1.Value": "b"}
    parameters: dict[str, dict[str, str]] = {
        "CreateKeyPair": {"KeyName": "a", "KeyType": "ed25519"},
        "ImportKeyPair": {"KeyName": "b", "PublicKeyMaterial": PUBLIC_KEY},
        "DeleteKeyPair": {"KeyName": "a"},
        "CreateTags": tagged,
        "DeleteTags": tagged,
        "GetConsoleOutput": {"InstanceId": id},
        "DescribeImageAttribute": {"ImageId": image, "Attribute": "kernel"},
        "RegisterImage": {"Name": "c", "ImageLocation": "http://127.0.0.1:1/c"},
        "DescribeInstances": on,
        "RebootInstances": on,
        "StopInstances": on,
        "TerminateInstances": on,
    }
    order = [
        *("CreateTags", "CreateKeyPair", "ImportKeyPair", "RegisterImage"),
        *sorted(name for name in OPERATIONS if name.startswith("Describe")),
        *("GetConsoleOutput", "RebootInstances", "StopInstances"),
    ]
    answers = {name: ec2.read(name, **parameters.get(name, {})) for name in order}
    assert {name for name, found in answers.items() if not found} == {"CreateTags", "RebootInstances"}
    assert answers["DescribeInstances"]["Reservations"][0]["Instances"][0]["State"]["Name"] == "running"
    assert answers["StopInstances"]["StoppingInstances"][0]["CurrentState"]["Name"] == "stopping"
    api.transact(lambda tx: [tx.delete(NodeRequest, one.id) for one in tx.find(NodeRequest)])
    api.transact(lambda tx: tx.update(Node, "0" * 8, {"power_state": PowerState.OFF}))
    started = ec2.read("StartInstances", **on)["StartingInstances"][0]
    assert (started["PreviousState"]["Name"], started["CurrentState"]["Name"]) == ("stopped", "pending")
    parameters["DeregisterImage"] = {"ImageId": answers["RegisterImage"]["ImageId"]}
    last = ("DeleteTags", "DeleteKeyPair", "DeregisterImage", "TerminateInstances")
    for name in last:
        answers[name] = ec2.read(name, **parameters[name])
    own = {"ImageId": image, "LaunchPermission.Remove.1.Group": "all"}
    answers["ModifyImageAttribute"] = Ec2(api, role="operator").read("ModifyImageAttribute", **own)
    assert {*answers, "RunInstances", "StartInstances"} == set(OPERATIONS)


def test_however_often_an_order_of_power_comes_it_is_carried_out_once(api: Api, ec2: Ec2) -> None:
    on = {"InstanceId.1": "i-0123456789ab4def8"}
    id = "01234567-89ab-4def-8123-000000000000"
    carried = node(state=ProvisionState.ACTIVE, power_state=PowerState.ON, instance_id=id)
    runs = instance(id=id, state=InstanceState.ACTIVE, node_id=carried.id)
    api.transact(lambda tx: tx.insert(carried, runs))
    for _ in range(5):
        ec2.read("RebootInstances", **on)
    for _ in range(5):
        ec2.read("StopInstances", **on)
    for _ in range(5):
        told = ec2.read("StopInstances", **on, Force="true")
        assert told["StoppingInstances"][0]["CurrentState"]["Name"] == "stopping"
    found = sorted(one.verb for one in api.transact(lambda tx: tx.find(NodeRequest)))
    assert found == ["power:off", "power:reset", "power:shutdown"]


def test_the_region_s_endpoint_is_where_the_request_was_sent(ec2: Ec2) -> None:
    (region,) = ec2.read("DescribeRegions")["Regions"]
    assert (region["RegionName"], region["Endpoint"]) == ("metal", "provisioner")


def root_image(ec2: Ec2) -> str:
    found = ec2.read("DescribeImages", **{"Filter.1.Name": "image-type", "Filter.1.Value.1": "machine"})
    return str(found["Images"][0]["ImageId"])


def test_a_launch_that_failed_is_told_with_its_cause(api: Api, ec2: Ec2) -> None:
    failure = Failure(code="image-too-large", message="it doesn't fit")
    lost = instance(id="01234567-89ab-4def-8123-000000000000", state=InstanceState.ERROR, failure=failure)
    api.transact(lambda tx: tx.insert(lost))
    found = ec2.read("DescribeInstances")["Reservations"][0]["Instances"][0]
    assert found["InstanceId"] == "i-0123456789ab4def8"
    assert found["State"]["Name"] == "terminated"
    assert found["StateReason"]["Message"] == "image-too-large: it doesn't fit"


def test_an_instance_that_is_long_gone_is_unknown(api: Api, ec2: Ec2) -> None:
    gone = instance(id="01234567-89ab-4def-8123-000000000000", state=InstanceState.DELETED)
    api.transact(lambda tx: tx.insert(gone))
    id = "i-0123456789ab4def8"
    on = {"InstanceId.1": id}
    for action, asked in {
        "DescribeInstances": on,
        "TerminateInstances": on,
        "GetConsoleOutput": {"InstanceId": id},
        "CreateTags": {"ResourceId.1": id, "Tag.1.Key": "k"},
        "DeleteTags": {"ResourceId.1": id},
    }.items():
        assert ec2.refused(action, **asked) == "InvalidInstanceID.NotFound"
    api.transact(lambda tx: tx.update(Instance, gone.id, {"name": "told"}))
    seen = ec2.read("DescribeInstances", **on)["Reservations"][0]["Instances"][0]
    assert seen["State"]["Name"] == "terminated"


def test_an_instance_that_was_deleted_lately_is_found_by_filters(api: Api, ec2: Ec2) -> None:
    gone = instance(id="01234567-89ab-4def-8123-000000000000", state=InstanceState.ACTIVE)
    other = instance(
        id="11234567-89ab-4def-8123-000000000000",
        tenant="red",
        state=InstanceState.DELETED,
        updated_at=api.context_now(),
    )
    api.transact(lambda tx: tx.insert(gone, other))
    ec2.read("CreateTags", **{"ResourceId.1": "i-0123456789ab4def8", "Tag.1.Key": "a", "Tag.1.Value": "b"})
    api.transact(lambda tx: tx.update(Instance, gone.id, {"state": InstanceState.DELETED}))

    def found(action: str, member: str, **more: str) -> int:
        return len(ec2.read(action, **more)[member])

    by_tag = {"Filter.1.Name": "tag:a", "Filter.1.Value.1": "b"}
    by_state = {"Filter.1.Name": "instance-state-name", "Filter.1.Value.1": "terminated"}
    assert found("DescribeInstances", "Reservations") == 1
    assert found("DescribeInstances", "Reservations", **by_tag) == 1
    assert found("DescribeInstances", "Reservations", **by_state) == 1
    assert found("DescribeInstanceStatus", "InstanceStatuses") == 0
    assert found("DescribeInstanceStatus", "InstanceStatuses", IncludeAllInstances="true") == 1
    assert found("DescribeTags", "Tags") == 1
    api.transact(lambda tx: tx.delete(Instance, gone.id))
    long_ago = api.context_now() - timedelta(seconds=TOLD_S + 1)
    api.transact(lambda tx: tx.insert(replace(gone, state=InstanceState.DELETED, updated_at=long_ago)))
    assert found("DescribeInstances", "Reservations") == 0
    assert found("DescribeInstanceStatus", "InstanceStatuses", IncludeAllInstances="true") == 0


@pytest.mark.parametrize("digits", ["12345678", "0" * 17])
def test_a_well_formed_id_is_unknown_and_not_malformed(ec2: Ec2, digits: str) -> None:
    assert ec2.refused("DescribeInstances", **{"InstanceId.1": f"i-{digits}"}) == "InvalidInstanceID.NotFound"
    assert ec2.refused("DescribeImages", **{"ImageId.1": f"ami-{digits}"}) == "InvalidAMIID.NotFound"
    assert ec2.refused("DeleteKeyPair", KeyPairId=f"key-{digits}") == "InvalidKeyPair.NotFound"
    assert ec2.refused("DescribeInstances", **{"InstanceId.1": f"i-{digits}0"}).endswith("Malformed")


@pytest.mark.parametrize("action", ["DescribeInstances", "DescribeInstanceStatus"])
def test_instances_that_are_named_come_in_no_pages(ec2: Ec2, action: str) -> None:
    both = {"InstanceId.1": "i-0123456789ab4def8", "MaxResults": "5"}
    assert ec2.refused(action, **both) == "InvalidParameterCombination"


def test_tags_go_with_what_is_deleted_by_rest_whoever_put_them(api: Api, ec2: Ec2) -> None:
    api.register_images()
    image = root_image(ec2)
    key = ec2.read("ImportKeyPair", KeyName="k", PublicKeyMaterial=PUBLIC_KEY)["KeyPairId"]
    api.post("/v1/tenants", {"name": "red"}, 201)
    red = Ec2(api, tenant="red")
    red.read("CreateTags", **{"ResourceId.1": image, "Tag.1.Key": "theirs"})
    ec2.read("CreateTags", **{"ResourceId.1": image, "ResourceId.2": key, "Tag.1.Key": "ours"})
    for path in ("/v1/images/root", "/v1/keys/k"):
        assert api.call("DELETE", path).status_code == 204
    assert ec2.read("DescribeTags")["Tags"] == red.read("DescribeTags")["Tags"] == []


def test_tags_of_what_is_gone_are_forgotten(api: Api, ec2: Ec2) -> None:
    api.register_images()
    kept = instance(id="01234567-89ab-4def-8123-000000000000", state=InstanceState.ACTIVE)
    gone = instance(id="11234567-89ab-4def-8123-000000000000", name="gone", state=InstanceState.ACTIVE)
    api.transact(lambda tx: tx.insert(kept, gone))
    ids = ["i-0123456789ab4def8", "i-1123456789ab4def8", root_image(ec2)]
    for number, id in enumerate(ids):
        ec2.read("CreateTags", **{"ResourceId.1": id, "Tag.1.Key": f"k{number}", "Tag.1.Value": ""})
    key = ec2.read("ImportKeyPair", KeyName="k", PublicKeyMaterial=PUBLIC_KEY)["KeyPairId"]
    ec2.read("CreateTags", **{"ResourceId.1": key, "Tag.1.Key": "k3", "Tag.1.Value": ""})
    api.transact(lambda tx: tx.update(Instance, gone.id, {"state": InstanceState.DELETED}))

    def left() -> set[str]:
        api.run(forget_tags_of_nothing(api.context))
        return {tag["Key"] for tag in ec2.read("DescribeTags")["Tags"]}

    assert left() == {"k0", "k1", "k2", "k3"}
    api.advanced_s += TOLD_S + 1
    api.context.forget_credentials()
    api.transact(lambda tx: [tx.delete(KeyPair, one.id) for one in tx.find(KeyPair)])
    assert {tag.key for tag in api.transact(lambda tx: tx.find(Tag))} == {"k0", "k1", "k2", "k3"}
    api.run(forget_tags_of_nothing(api.context))
    assert {tag.key for tag in api.transact(lambda tx: tx.find(Tag))} == {"k0", "k2"}
