from __future__ import annotations

import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.wire.cli.conftest import eventually
from tests.wire.ec2.conftest import CONSOLE, LIVE, WAITING, Place, code_of, release, there

pytestmark = pytest.mark.wire


def ami(client: Any) -> str:
    found = client.describe_images(Filters=[{"Name": "name", "Values": ["root"]}])["Images"]
    return str(found[0]["ImageId"])


def run(client: Any, count: int = 1, **more: Any) -> list[str]:
    order = {"ImageId": more.pop("ImageId", None) or ami(client), "InstanceType": "baremetal.small", **more}
    made = client.run_instances(MinCount=count, MaxCount=count, **order)
    return [one["InstanceId"] for one in made["Instances"]]


def wait(client: Any, waiter: str, ids: list[str]) -> None:
    client.get_waiter(waiter).wait(InstanceIds=ids, WaiterConfig=WAITING)


def show(client: Any, id: str) -> Any:
    return client.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]


def test_an_instance_runs_stops_starts_reboots_and_is_terminated(ec2: Any) -> None:
    (id,) = ids = run(ec2)
    assert show(ec2, id)["State"]["Name"] in ("pending", "running")
    wait(ec2, "instance_running", ids)
    wait(ec2, "instance_status_ok", ids)
    seen = show(ec2, id)
    assert seen["PrivateIpAddress"].startswith("10.0.1.")
    assert seen["Placement"]["HostId"] in ("n1", "n2", "n3", "n4")

    stopped = ec2.stop_instances(InstanceIds=ids)["StoppingInstances"][0]
    assert stopped["PreviousState"]["Name"] == "running"
    assert stopped["CurrentState"]["Name"] == "stopping"
    assert code_of(ec2.reboot_instances, InstanceIds=ids) == "IncorrectInstanceState"
    wait(ec2, "instance_stopped", ids)

    assert ec2.start_instances(InstanceIds=ids)["StartingInstances"][0]["CurrentState"]["Name"] == "pending"
    wait(ec2, "instance_running", ids)
    ec2.reboot_instances(InstanceIds=ids)
    wait(ec2, "instance_running", ids)
    assert ec2.stop_instances(InstanceIds=ids, Force=True)
    wait(ec2, "instance_stopped", ids)

    ended = ec2.terminate_instances(InstanceIds=ids)["TerminatingInstances"][0]
    assert ended["CurrentState"]["Name"] in ("shutting-down", "terminated")
    wait(ec2, "instance_terminated", ids)
    assert code_of(ec2.start_instances, InstanceIds=ids) == "IncorrectInstanceState"
    assert ec2.terminate_instances(InstanceIds=[id, id])
    assert there(ec2) == []


def test_instances_of_one_order_are_one_reservation(ec2: Any) -> None:
    made = ec2.run_instances(ImageId=ami(ec2), InstanceType="baremetal.small", MinCount=2, MaxCount=3)
    assert [one["AmiLaunchIndex"] for one in made["Instances"]] == [0, 1, 2]
    (shown,) = there(ec2)
    assert shown["ReservationId"] == made["ReservationId"]
    assert {one["InstanceId"] for one in shown["Instances"]} == {
        one["InstanceId"] for one in made["Instances"]
    }


def test_as_many_are_run_as_there_are_nodes(ec2: Any) -> None:
    order = {"ImageId": ami(ec2), "InstanceType": "baremetal.small"}
    assert code_of(ec2.run_instances, **order, MinCount=5, MaxCount=9) == "InsufficientInstanceCapacity"
    assert there(ec2) == []
    assert len(ec2.run_instances(**order, MinCount=1, MaxCount=9)["Instances"]) == 4
    assert code_of(ec2.run_instances, **order, MinCount=1, MaxCount=1) == "InsufficientInstanceCapacity"
    assert (
        code_of(ec2.run_instances, ImageId=ami(ec2), InstanceType="huge", MinCount=1, MaxCount=1)
        == "InsufficientInstanceCapacity"
    )


def test_of_many_who_ask_at_once_as_many_get_one_as_there_are(ec2: Any) -> None:
    image = ami(ec2)

    def ask(_: int) -> str:
        try:
            run(ec2, ImageId=image)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "ran"

    with ThreadPoolExecutor(16) as clients:
        told = Counter(clients.map(ask, range(16)))
    assert told == {"ran": 4, "InsufficientInstanceCapacity": 12}
    found = there(ec2)
    ids = [one["InstanceId"] for reservation in found for one in reservation["Instances"]]
    wait(ec2, "instance_running", ids)
    assert len({show(ec2, id)["Placement"]["HostId"] for id in ids}) == 4


def test_an_order_with_a_token_is_carried_out_once(ec2: Any) -> None:
    first, again = (run(ec2, ClientToken="once") for _ in range(2))
    assert first == again
    assert code_of(run, client=ec2, count=2, ClientToken="once") == "IdempotentParameterMismatch"
    assert len(run(ec2, ClientToken="twice")) == 1
    assert len(there(ec2)) == 2


def test_a_dry_run_changes_nothing(ec2: Any) -> None:
    assert code_of(run, client=ec2, DryRun=True, ClientToken="dry") == "DryRunOperation"
    assert there(ec2) == []
    assert code_of(run, client=ec2, DryRun=True, KeyName="nobodys") == "InvalidKeyPair.NotFound"
    (id,) = run(ec2, ClientToken="dry")
    assert code_of(ec2.terminate_instances, InstanceIds=[id], DryRun=True) == "DryRunOperation"
    assert show(ec2, id)["State"]["Name"] in ("pending", "running")


def test_a_host_may_be_named(ec2: Any) -> None:
    placement = {"HostId": "n3", "AvailabilityZone": "metala"}
    (id,) = ids = run(ec2, Placement=placement)
    wait(ec2, "instance_running", ids)
    assert show(ec2, id)["Placement"]["HostId"] == "n3"
    assert code_of(run, client=ec2, Placement=placement) == "InsufficientInstanceCapacity"
    assert code_of(run, client=ec2, Placement={"HostId": "n9"}) == "InvalidHostID.NotFound"
    assert code_of(run, client=ec2, Placement={"AvailabilityZone": "x"}) == "InvalidParameterValue"
    assert code_of(run, client=ec2, Placement={"GroupName": "x"}) == "UnsupportedOperation"


def test_kernel_and_ramdisk_may_be_named(ec2: Any) -> None:
    by_type = {one["ImageType"]: one["ImageId"] for one in ec2.describe_images()["Images"]}
    (id,) = run(ec2, KernelId=by_type["kernel"], RamdiskId=by_type["ramdisk"])
    seen = show(ec2, id)
    assert (seen["KernelId"], seen["RamdiskId"]) == (by_type["kernel"], by_type["ramdisk"])
    assert seen["KernelId"].startswith("aki-")
    assert code_of(run, client=ec2, KernelId=by_type["ramdisk"]) == "InvalidAMIID.Malformed"
    wrong = "aki" + by_type["ramdisk"][3:]
    assert code_of(run, client=ec2, KernelId=wrong) == "InvalidAMIID.NotFound"


def test_user_data_is_bounded(ec2: Any) -> None:
    assert run(ec2, UserData="#!/bin/sh\n" + "x" * (16384 - 10))
    assert code_of(run, client=ec2, UserData="x" * 16385) == "InvalidParameterValue"
    assert code_of(run, client=ec2, UserData=b"\x1f\x8b\x00") == "UnsupportedOperation"


def test_what_is_not_supported_is_named(ec2: Any) -> None:
    assert code_of(run, client=ec2, SubnetId="subnet-1") == "UnsupportedOperation"
    assert code_of(ec2.describe_volumes) == "UnsupportedOperation"


@pytest.mark.parametrize(
    ("id", "code"),
    [
        ("i-" + "0" * 17, "InvalidInstanceID.NotFound"),
        ("i-1", "InvalidInstanceID.Malformed"),
        ("ami-" + "0" * 17, "InvalidInstanceID.Malformed"),
        ("i-" + "0" * 17 + "\n", "InvalidInstanceID.Malformed"),
        ("", "InvalidInstanceID.Malformed"),
        ("../../../etc", "InvalidInstanceID.Malformed"),
    ],
)
def test_an_unknown_instance_is_refused(ec2: Any, id: str, code: str) -> None:
    for call in (ec2.describe_instances, ec2.terminate_instances, ec2.stop_instances):
        assert code_of(call, InstanceIds=[id]) == code


def test_all_or_none_are_terminated(ec2: Any) -> None:
    (id,) = run(ec2)
    assert code_of(ec2.terminate_instances, InstanceIds=[id, "i-" + "0" * 17]) == "InvalidInstanceID.NotFound"
    assert show(ec2, id)["State"]["Name"] in ("pending", "running")


def test_another_tenants_are_as_nobodys(place: Place, ec2: Any) -> None:
    other = place.client(place.session("blue"))
    ec2.create_key_pair(KeyName="mine", KeyType="ed25519")
    (id,) = run(ec2, KeyName="mine", TagSpecifications=[_named("web")])
    calls = (
        other.describe_instances,
        other.describe_instance_status,
        other.terminate_instances,
        other.stop_instances,
        other.reboot_instances,
    )
    for call in calls:
        assert code_of(call, InstanceIds=[id]) == "InvalidInstanceID.NotFound"
    assert code_of(other.get_console_output, InstanceId=id) == "InvalidInstanceID.NotFound"
    tagged = {"Resources": [id], "Tags": [{"Key": "a", "Value": "b"}]}
    assert code_of(other.create_tags, **tagged) == "InvalidInstanceID.NotFound"
    assert other.describe_instances()["Reservations"] == []
    assert other.describe_key_pairs()["KeyPairs"] == []
    assert other.describe_tags()["Tags"] == []
    other.delete_key_pair(KeyName="mine")
    assert [key["KeyName"] for key in ec2.describe_key_pairs()["KeyPairs"]] == ["mine"]
    ec2.delete_key_pair(KeyName="mine")
    # The same token of another tenant is another token.
    mine, theirs = run(ec2, ClientToken="shared"), run(other, ClientToken="shared")
    assert mine != theirs
    release(other)


def _named(name: str) -> dict[str, Any]:
    return {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}


def test_all_of_a_tag_are_waited_for_until_they_are_gone(ec2: Any) -> None:
    ids = run(ec2, 2, TagSpecifications=[_named("batch")])
    wanted = [{"Name": "tag:Name", "Values": ["batch"]}]
    ec2.get_waiter("instance_running").wait(Filters=wanted, WaiterConfig=WAITING)
    ec2.terminate_instances(InstanceIds=ids)
    ec2.get_waiter("instance_terminated").wait(Filters=wanted, WaiterConfig=WAITING)
    assert ids_of(ec2, ("tag:Name", ["batch"]), ("instance-state-name", ["terminated"])) == set(ids)


def ids_of(client: Any, *filters: tuple[str, list[str]]) -> set[str]:
    """What isn't terminated, unless it is asked for by its state."""
    told = [{"Name": name, "Values": values} for name, values in filters]
    if "instance-state-name" not in {name for name, _ in filters}:
        told += LIVE
    found = client.describe_instances(Filters=told)["Reservations"]
    return {one["InstanceId"] for reservation in found for one in reservation["Instances"]}


def test_instances_are_found_by_filters_with_wildcards(ec2: Any) -> None:
    (web,) = run(ec2, TagSpecifications=[_named("web-1")])
    (db,) = run(ec2, TagSpecifications=[_named("db*1")])
    wait(ec2, "instance_running", [web, db])
    assert ids_of(ec2, ("tag:Name", ["web-?"])) == {web}
    assert ids_of(ec2, ("tag:Name", ["*-*"])) == {web}
    assert ids_of(ec2, ("tag:Name", [r"*\**"])) == {db}
    assert ids_of(ec2, ("tag:Name", ["we", "eb-1"])) == set()
    assert ids_of(ec2, ("tag-key", ["Name"])) == {web, db}
    assert ids_of(ec2, ("instance-state-name", ["running"]), ("instance-id", [db])) == {db}
    assert ids_of(ec2, ("architecture", ["x86_64"]), ("instance-type", ["baremetal.*"])) == {web, db}
    assert ids_of(ec2, ("instance-state-name", ["stopped", "stopping"])) == set()
    assert (
        code_of(ec2.describe_instances, Filters=[{"Name": "x", "Values": ["y"]}]) == "InvalidParameterValue"
    )


def test_pages_have_every_instance_once(ec2: Any) -> None:
    ids = set(run(ec2, 3)) | set(run(ec2, 1))
    pages = ec2.get_paginator("describe_instances").paginate(Filters=LIVE, PaginationConfig={"PageSize": 2})
    found = [[one["InstanceId"] for r in page["Reservations"] for one in r["Instances"]] for page in pages]
    assert [len(page) for page in found] == [2, 2]
    assert {id for page in found for id in page} == ids
    assert code_of(ec2.describe_instances, MaxResults=2, NextToken="ü!") in (
        "InvalidNextToken",
        "MalformedQueryString",
    )


def test_the_console_is_told_as_it_was_said(place: Place, ec2: Any) -> None:
    id, other = ids = run(ec2, 2)
    wait(ec2, "instance_running", ids)
    begun = datetime.now(UTC)
    place.plant_console(id)
    told = ec2.get_console_output(InstanceId=id)
    assert told["InstanceId"] == id
    assert told["Output"].encode() == CONSOLE.encode()
    assert begun - timedelta(seconds=1) < told["Timestamp"] <= datetime.now(UTC)
    assert ec2.get_console_output(InstanceId=other)["Output"] == ""


def test_the_rest_api_has_the_same_instances(place: Place, ec2: Any) -> None:
    (id,) = run(ec2)
    shown = place.service.json("instance", "show", id)
    assert shown["name"] == id
    place.service.json("instance", "delete", id)
    eventually("it is gone", lambda: show(ec2, id)["State"]["Name"] == "terminated")


def test_user_data_comes_through_as_it_was(place: Place, ec2: Any) -> None:
    text = "#cloud-config\n# Füße & <Köpfe> +%41\r\n"
    (id,) = run(ec2, UserData=text)
    with closing(sqlite3.connect(f"file:{place.service.state}/provisioner.db?mode=ro", uri=True)) as database:
        stored = database.execute("SELECT user_data FROM instance WHERE name = ?", (id,)).fetchall()
    assert stored == [(text,)]
