from __future__ import annotations

import functools
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.serving import serving
from tests.wire.ec2.conftest import LIVE, WAITING, Place, code_of
from tests.wire.ec2.test_instances import run, wait

pytestmark = pytest.mark.wire


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A web server with `disk.raw`, of 1 MiB."""
    (tmp_path / "disk.raw").write_bytes(b"disk" * 2**18)
    handler = functools.partial(Quiet, directory=tmp_path)
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_an_image_is_registered_run_and_deregistered(place: Place, ec2: Any, url: str) -> None:
    made = ec2.register_image(Name="from-a-url", ImageLocation=f"{url}/disk.raw", VirtualizationType="hvm")
    image = made["ImageId"]
    ec2.get_waiter("image_exists").wait(ImageIds=[image], WaiterConfig=WAITING)
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig=WAITING)
    ids = run(ec2, ImageId=image)
    wait(ec2, "instance_running", ids)
    assert code_of(ec2.deregister_image, ImageId=image) == "IncorrectState"
    ec2.terminate_instances(InstanceIds=ids)
    wait(ec2, "instance_terminated", ids)
    ec2.deregister_image(ImageId=image)
    assert code_of(ec2.describe_images, ImageIds=[image]) == "InvalidAMIID.NotFound"


def test_an_image_that_can_not_be_fetched_says_why(ec2: Any, url: str) -> None:
    image = ec2.register_image(Name="missing", ImageLocation=f"{url}/missing.raw")["ImageId"]
    failed = [{"Name": "state", "Values": ["failed"]}, {"Name": "name", "Values": ["miss*"]}]
    waiter = ec2.get_waiter("image_exists")
    waiter.wait(Filters=failed, WaiterConfig=WAITING)
    (shown,) = ec2.describe_images(Filters=failed)["Images"]
    assert "404" in shown["StateReason"]["Message"]
    assert code_of(run, client=ec2, ImageId=image) == "InvalidAMIID.Unavailable"
    ec2.deregister_image(ImageId=image)


def test_an_image_of_an_instance_is_not_made(ec2: Any) -> None:
    assert code_of(ec2.create_image, InstanceId="i-" + "0" * 17, Name="mine") == "UnsupportedOperation"


def test_every_paginator_has_everything_once(ec2: Any) -> None:
    ids = run(ec2, 4, TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}])
    wait(ec2, "instance_running", ids)

    def pages(name: str, result: str) -> list[list[Any]]:
        # botocore asks for five types at least.
        size = {"PageSize": 5 if result == "InstanceTypes" else 1}
        wanted = {"Filters": LIVE} if result == "Reservations" else {}
        return [page[result] for page in ec2.get_paginator(name).paginate(**wanted, PaginationConfig=size)]

    found = {
        "InstanceId": pages("describe_instance_status", "InstanceStatuses"),
        "ImageId": pages("describe_images", "Images"),
        "InstanceType": pages("describe_instance_types", "InstanceTypes"),
        "ResourceId": pages("describe_tags", "Tags"),
    }
    assert {key: len(of_one) for key, of_one in found.items()} == {
        "InstanceId": 4,
        "ImageId": 3,
        "InstanceType": 1,
        "ResourceId": 4,
    }
    seen = {key: [one[key] for page in of_one for one in page] for key, of_one in found.items()}
    assert sorted(seen["InstanceId"]) == sorted(seen["ResourceId"]) == sorted(ids)
    assert (len(set(seen["ImageId"])), len(set(seen["InstanceType"]))) == (3, 2)
    reservations = pages("describe_instances", "Reservations")
    assert sorted(page[0]["Instances"][0]["InstanceId"] for page in reservations) == sorted(ids)
