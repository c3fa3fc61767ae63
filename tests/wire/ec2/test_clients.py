"""Clients as people have them: the resources of boto3, and the AWS command line."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.wire.ec2.conftest import CONSOLE, LIVE, WAITING, Place, code_of, release
from tests.wire.ec2.test_instances import ami

pytestmark = pytest.mark.wire


def test_the_resources_of_boto3_run_an_instance_from_its_beginning_to_its_end(place: Place) -> None:
    session = place.session()
    ec2 = place.resource(session)
    (image,) = ec2.images.filter(Filters=[{"Name": "image-type", "Values": ["machine"]}])
    key = ec2.create_key_pair(KeyName="of-a-resource", KeyType="ed25519")
    (instance,) = ec2.create_instances(
        ImageId=image.id, InstanceType="baremetal.small", MinCount=1, MaxCount=1, KeyName=key.name
    )
    instance.wait_until_running(WaiterConfig=WAITING)
    instance.reload()
    assert instance.state["Name"] == "running"
    assert instance.image.name == "root"
    assert instance.key_pair.key_fingerprint == key.key_fingerprint
    instance.create_tags(Tags=[{"Key": "Name", "Value": "web"}])
    (found,) = ec2.instances.filter(Filters=[{"Name": "tag:Name", "Values": ["web"]}])
    assert found.id == instance.id
    instance.stop()
    instance.wait_until_stopped(WaiterConfig=WAITING)
    instance.start()
    instance.wait_until_running(WaiterConfig=WAITING)
    instance.reboot()
    instance.terminate()
    instance.wait_until_terminated(WaiterConfig=WAITING)
    key.delete()
    assert list(ec2.instances.filter(Filters=LIVE)) == []


def test_the_aws_command_line_runs_an_instance_from_its_beginning_to_its_end(place: Place) -> None:
    session = place.session()

    def aws(*words: str) -> Any:
        done = place.aws(session, *words)
        assert done.returncode == 0, (words, done.stderr)
        return json.loads(done.stdout) if done.stdout else None

    client = place.client(session)
    words = ("run-instances", "--image-id", ami(client), "--instance-type", "baremetal.small")
    specification = "ResourceType=instance,Tags=[{Key=Name,Value=web}]"
    made = aws(*words, "--count", "1:2", "--tag-specifications", specification, "--user-data", "#!/bin/sh")
    ids = [one["InstanceId"] for one in made["Instances"]]
    assert len(ids) == 2
    client.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=WAITING)
    aws("wait", "instance-running", "--instance-ids", *ids)
    shown = aws("describe-instances", "--filters", "Name=tag:Name,Values=w*", "--max-items", "1")
    assert len(shown["Reservations"]) == 1
    place.plant_console(ids[0])
    told = aws("get-console-output", "--instance-id", ids[0])
    assert (told["InstanceId"], told["Output"].encode()) == (ids[0], CONSOLE.encode())
    refused = place.aws(session, *words, "--dry-run")
    assert "DryRunOperation" in refused.stderr
    assert aws("terminate-instances", "--instance-ids", *ids)["TerminatingInstances"]
    client.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig=WAITING)


def test_places_and_types_are_told(ec2: Any) -> None:
    assert [one["RegionName"] for one in ec2.describe_regions()["Regions"]] == ["metal"]
    (zone,) = ec2.describe_availability_zones()["AvailabilityZones"]
    assert (zone["ZoneName"], zone["State"]) == ("metala", "available")
    told = ec2.describe_account_attributes(AttributeNames=["supported-platforms"])["AccountAttributes"]
    assert told[0]["AttributeValues"] == [{"AttributeValue": "VPC"}]
    pages = ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 5})
    types = [one for page in pages for one in page["InstanceTypes"]]
    assert [(one["InstanceType"], one["VCpuInfo"]["DefaultVCpus"]) for one in types] == [
        ("baremetal.small", 1),
        ("huge", 999),
    ]
    assert code_of(ec2.describe_instance_types, InstanceTypes=["m5.large"]) == "InvalidInstanceType"
    assert code_of(ec2.describe_regions, RegionNames=["us-east-1"]) == "InvalidParameterValue"
    assert code_of(ec2.describe_availability_zones, ZoneNames=["x"]) == "InvalidParameterValue"
    assert code_of(ec2.describe_account_attributes, AttributeNames=["x"]) == "InvalidParameterValue"


def test_images_are_told_by_kind(ec2: Any) -> None:
    (root,) = ec2.describe_images(Filters=[{"Name": "image-type", "Values": ["machine"]}])["Images"]
    assert (root["Name"], root["State"], root["Architecture"]) == ("root", "available", "x86_64")
    assert ec2.describe_images(ImageIds=[root["KernelId"]])["Images"][0]["ImageType"] == "kernel"
    assert ec2.describe_images(ImageIds=[root["RamdiskId"]])["Images"][0]["ImageType"] == "ramdisk"
    assert len(ec2.describe_images(Owners=["self"])["Images"]) == 3
    assert ec2.describe_images(Owners=["amazon"])["Images"] == []
    assert code_of(ec2.describe_images, ImageIds=["ami-" + "0" * 17]) == "InvalidAMIID.NotFound"
    assert code_of(ec2.describe_images, ImageIds=["i-" + "0" * 17]) == "InvalidAMIID.Malformed"
    ec2.get_waiter("image_available").wait(ImageIds=[root["ImageId"]], WaiterConfig=WAITING)


def test_a_wrong_secret_and_an_unknown_key_are_refused(place: Place) -> None:
    import boto3

    right = place.session().get_credentials()
    assert right is not None
    wrong = boto3.Session(right.access_key, "guess", region_name="metal")
    assert code_of(place.client(wrong).describe_instances) == "SignatureDoesNotMatch"
    nobody = boto3.Session("AKIANOBODY", "guess", region_name="metal")
    assert code_of(place.client(nobody).describe_instances) == "InvalidClientTokenId"


def test_nothing_secret_is_in_the_log(place: Place) -> None:
    session = place.session()
    client = place.client(session)
    credentials = session.get_credentials()
    assert credentials is not None
    client.run_instances(
        ImageId=ami(client),
        InstanceType="baremetal.small",
        MinCount=1,
        MaxCount=1,
        UserData="password: open-sesame",
    )
    release(client)
    log = (place.service.folder / "serve.log").read_text()
    assert credentials.secret_key not in log
    assert "open-sesame" not in log


def test_curl_signs_as_we_check(place: Place) -> None:
    """A signer that isn't botocore's. Its secret goes by a file: command lines are everybody's."""
    credentials = place.session().get_credentials()
    assert credentials is not None

    def told(secret: str) -> str:
        lines = (
            f'url = "{place.url}"',
            'aws-sigv4 = "aws:amz:metal:ec2"',
            f'user = "{credentials.access_key}:{secret}"',
            'data = "Action=DescribeRegions&Version=2016-11-15"',
        )
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--noproxy", "*", "--config", "-"],
            input="\n".join(lines),
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout

    assert "<regionName>metal</regionName>" in told(credentials.secret_key)
    assert "SignatureDoesNotMatch" in told("guess")
