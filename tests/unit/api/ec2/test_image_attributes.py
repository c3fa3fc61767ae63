from __future__ import annotations

import pytest

from provisioner.core.ec2_ids import account_of
from provisioner.core.states import ProvisionState
from tests.unit.api.conftest import Api
from tests.unit.api.ec2.conftest import Ec2
from tests.unit.records import node

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
        ({"LaunchPermission.Add.1.UserId": "acme"}, "InvalidAMIAttributeItemValue"),
        ({"LaunchPermission.Add.1.OrganizationArn": "arn:x"}, "UnsupportedOperation"),
        ({"LaunchPermission.Add.1.Group": "some"}, "UnsupportedOperation"),
        ({"OperationType": "add", "UserId.1": "12345678901"}, "InvalidAMIAttributeItemValue"),
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


def test_one_call_takes_an_image_from_all_and_gives_it_to_one(api: Api, owner: Ec2) -> None:
    image = image_of(owner)
    add = {"LaunchPermission.Add.1.UserId": account_of("blue")}
    owner.read("ModifyImageAttribute", ImageId=image, **REMOVE, **add)
    assert Ec2(api, "blue").read("DescribeImages", **{"ImageId.1": image})["Images"]
    assert Ec2(api, "red").refused("DescribeImages", **{"ImageId.1": image}) == "InvalidAMIID.NotFound"


@pytest.mark.parametrize("old_words", [False, True])
def test_an_image_is_shared_with_a_single_account_and_taken_back(
    api: Api, owner: Ec2, old_words: bool
) -> None:
    """By a member of its tenant. For the account it is there from then on, and for others it isn't."""
    image, member = image_of(owner), Ec2(api)
    owner.read("ModifyImageAttribute", ImageId=image, **REMOVE)
    blue, red = Ec2(api, "blue"), Ec2(api, "red")
    on, permission = {"ImageId.1": image}, {"ImageId": image, "Attribute": "launchPermission"}
    accounts = [account_of("blue"), "123456789012"]

    def change(kind: str) -> None:
        words = {f"LaunchPermission.{kind}.{n}.UserId": one for n, one in enumerate(accounts, 1)}
        if old_words:
            words = {f"UserId.{n}": one for n, one in enumerate(accounts, 1)}
            words |= {"Attribute": "launchPermission", "OperationType": kind.lower()}
        member.read("ModifyImageAttribute", ImageId=image, **words)

    change("Add")
    change("Add")
    (seen,) = blue.read("DescribeImages", **on)["Images"]
    assert (seen["Public"], seen["OwnerId"]) == (False, account_of("default"))
    assert image in [one["ImageId"] for one in blue.read("DescribeImages")["Images"]]
    shared = blue.read("DescribeImages", **{"ExecutableBy.1": "self"})["Images"]
    assert [one["ImageId"] for one in shared] == [image]
    told = member.read("DescribeImageAttribute", **permission)["LaunchPermissions"]
    assert {one["UserId"] for one in told} == set(accounts)
    told = blue.read("DescribeImageAttribute", **permission)["LaunchPermissions"]
    assert told == [{"UserId": account_of("blue")}], "with whom else is not for them to see"
    assert red.refused("DescribeImages", **on) == "InvalidAMIID.NotFound"
    assert red.refused("ModifyImageAttribute", ImageId=image, **ADD) == "InvalidAMIID.NotFound"
    assert blue.refused("ModifyImageAttribute", ImageId=image, **ADD) == "UnauthorizedOperation"
    assert blue.refused("DeregisterImage", ImageId=image) == "UnauthorizedOperation"

    change("Remove")
    assert blue.refused("DescribeImages", **on) == "InvalidAMIID.NotFound"
    assert member.read("DescribeImageAttribute", **permission)["LaunchPermissions"] == []


def test_what_is_shared_with_a_tenant_it_can_run(api: Api, owner: Ec2) -> None:
    api.transact(lambda tx: tx.insert(node(state=ProvisionState.AVAILABLE)))
    image, blue = image_of(owner), Ec2(api, "blue")
    for kind in ("machine", "kernel", "ramdisk"):
        on = {"Filter.1.Name": "image-type", "Filter.1.Value.1": kind}
        (found,) = owner.read("DescribeImages", **on)["Images"]
        owner.read("ModifyImageAttribute", ImageId=found["ImageId"], **REMOVE)
    order = {"ImageId": image, "InstanceType": "small", "MinCount": "1", "MaxCount": "1"}
    assert blue.refused("RunInstances", **order) == "InvalidAMIID.NotFound"
    share = {"LaunchPermission.Add.1.UserId": account_of("blue")}
    owner.read("ModifyImageAttribute", ImageId=image, **share)
    made = blue.read("RunInstances", **order, ClientToken="anew")
    assert made["Instances"][0]["ImageId"] == image
