from __future__ import annotations

import pytest

from tests.unit.api.conftest import Api
from tests.unit.api.ec2.conftest import Ec2

ADD = {"LaunchPermission.Add.1.Group": "all"}
REMOVE = {"LaunchPermission.Remove.1.Group": "all"}
IN_OLD_WORDS = {"Attribute": "launchPermission", "UserGroup.1": "all"}


@pytest.fixture
def owner(api: Api, ec2: Ec2) -> Ec2:
    """An operator of the tenant that the images are of."""
    api.register_images()
    return Ec2(api, role="operator")


def image_of(ec2: Ec2) -> str:
    found = ec2.read("DescribeImages", **{"Filter.1.Name": "image-type", "Filter.1.Value.1": "machine"})
    return str(found["Images"][0]["ImageId"])


@pytest.mark.parametrize(
    ("remove", "add"),
    [
        (REMOVE, ADD),
        ({**IN_OLD_WORDS, "OperationType": "remove"}, {**IN_OLD_WORDS, "OperationType": "add"}),
    ],
)
def test_an_image_is_its_tenants_own_or_everybodys(
    api: Api, owner: Ec2, remove: dict[str, str], add: dict[str, str]
) -> None:
    other = Ec2(api, "blue")
    image = image_of(owner)
    on = {"ImageId.1": image}
    permission = {"ImageId": image, "Attribute": "launchPermission"}
    assert owner.read("DescribeImageAttribute", **permission)["LaunchPermissions"] == [{"Group": "all"}]
    assert other.read("DescribeImages", **on)["Images"]

    owner.read("ModifyImageAttribute", ImageId=image, **remove)
    assert owner.read("DescribeImageAttribute", **permission)["LaunchPermissions"] == []
    assert not owner.read("DescribeImages", **on)["Images"][0]["Public"]
    assert other.refused("DescribeImages", **on) == "InvalidAMIID.NotFound"
    assert other.refused("DescribeImageAttribute", **permission) == "InvalidAMIID.NotFound"

    owner.read("ModifyImageAttribute", ImageId=image, **add)
    owner.read("ModifyImageAttribute", ImageId=image, **add)
    assert other.read("DescribeImages", **on)["Images"]


def test_kernel_and_ramdisk_are_told(owner: Ec2) -> None:
    image = image_of(owner)
    told = owner.read("DescribeImageAttribute", ImageId=image, Attribute="kernel")
    assert told["KernelId"]["Value"].startswith("aki-")
    told = owner.read("DescribeImageAttribute", ImageId=image, Attribute="ramdisk")
    assert told["RamdiskId"]["Value"].startswith("ari-")


def test_who_may_not_share_images_is_told_so(api: Api, owner: Ec2) -> None:
    image = image_of(owner)
    for other in (Ec2(api), Ec2(api, "blue")):
        assert other.refused("ModifyImageAttribute", ImageId=image, **REMOVE) == "UnauthorizedOperation"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "MissingParameter"),
        ({"LaunchPermission.Add.1.UserId": "123456789012"}, "UnsupportedOperation"),
        ({"LaunchPermission.Add.1.Group": "some"}, "UnsupportedOperation"),
        ({"OperationType": "add", "UserId.1": "123456789012"}, "UnsupportedOperation"),
        ({"OperationType": "share", "UserGroup.1": "all"}, "InvalidParameterValue"),
        ({**ADD, **REMOVE}, "InvalidParameterCombination"),
        ({"Attribute": "description", "Value": "x"}, "UnsupportedOperation"),
        ({"Description.Value": "x"}, "UnsupportedOperation"),
    ],
)
def test_what_there_is_not_is_refused(owner: Ec2, given: dict[str, str], code: str) -> None:
    image = image_of(owner)
    assert owner.refused("ModifyImageAttribute", ImageId=image, **given) == code
    permission = {"ImageId": image, "Attribute": "launchPermission"}
    assert owner.read("DescribeImageAttribute", **permission)["LaunchPermissions"] == [{"Group": "all"}]


def test_an_attribute_that_is_not_told_is_named(owner: Ec2) -> None:
    asked = {"ImageId": image_of(owner), "Attribute": "sriovNetSupport"}
    assert owner.refused("DescribeImageAttribute", **asked) == "UnsupportedOperation"
