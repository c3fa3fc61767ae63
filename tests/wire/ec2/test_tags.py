from __future__ import annotations

from typing import Any

import pytest

from tests.wire.ec2.conftest import code_of
from tests.wire.ec2.test_instances import ami, run, show

pytestmark = pytest.mark.wire


def tag(key: str, value: str = "") -> dict[str, str]:
    return {"Key": key, "Value": value}


def test_tags_are_put_changed_and_taken_away(ec2: Any) -> None:
    (id,) = run(ec2)
    image = ami(ec2)
    ec2.create_tags(Resources=[id, image], Tags=[tag("Name", "web"), tag("empty"), tag("ü <&>", "ß\"'")])
    ec2.create_tags(Resources=[id], Tags=[tag("Name", "db")])
    assert {one["Key"]: one["Value"] for one in show(ec2, id)["Tags"]} == {
        "Name": "db",
        "empty": "",
        "ü <&>": "ß\"'",
    }
    by_image = ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["image"]}])["Tags"]
    assert {(one["ResourceId"], one["Key"]) for one in by_image} == {
        (image, "Name"),
        (image, "empty"),
        (image, "ü <&>"),
    }
    named = [{"Name": "tag:Name", "Values": ["web"]}]
    assert [one["ImageId"] for one in ec2.describe_images(Filters=named)["Images"]] == [image]
    ec2.delete_tags(Resources=[id], Tags=[{"Key": "empty"}, tag("Name", "another")])
    assert {one["Key"] for one in show(ec2, id)["Tags"]} == {"Name", "ü <&>"}
    ec2.delete_tags(Resources=[id, image])
    assert ec2.describe_tags()["Tags"] == []


def test_tags_come_in_pages(ec2: Any) -> None:
    image = ami(ec2)
    ec2.create_tags(Resources=[image], Tags=[tag(f"k{number}") for number in range(7)])
    pages = list(ec2.get_paginator("describe_tags").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(page["Tags"]) for page in pages] == [3, 3, 1]
    assert len({one["Key"] for page in pages for one in page["Tags"]}) == 7
    ec2.delete_tags(Resources=[image])


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([tag("")], "InvalidParameterValue"),
        ([tag("k" * 128)], "InvalidParameterValue"),
        ([tag("k", "v" * 257)], "InvalidParameterValue"),
        ([tag("aws:mine")], "InvalidParameterValue"),
        ([tag("k"), tag("k")], "InvalidParameterValue"),
        ([tag(f"k{number}") for number in range(51)], "TagLimitExceeded"),
    ],
)
def test_tags_are_bounded(ec2: Any, tags: list[dict[str, str]], code: str) -> None:
    assert code_of(ec2.create_tags, Resources=[ami(ec2)], Tags=tags) == code
    assert ec2.describe_tags()["Tags"] == []


def test_only_what_is_there_is_tagged(ec2: Any) -> None:
    for id, code in (
        ("i-" + "0" * 17, "InvalidInstanceID.NotFound"),
        ("ami-" + "0" * 17, "InvalidAMIID.NotFound"),
        ("key-" + "0" * 17, "InvalidKeyPair.NotFound"),
        ("vpc-" + "0" * 17, "UnsupportedOperation"),
        ("", "InvalidID"),
    ):
        assert code_of(ec2.create_tags, Resources=[ami(ec2), id], Tags=[tag("a")]) == code
    assert ec2.describe_tags()["Tags"] == []
