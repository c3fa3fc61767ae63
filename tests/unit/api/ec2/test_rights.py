from __future__ import annotations

from typing import Any

import httpx

from provisioner.api.ec2.operations import OPERATIONS
from provisioner.api.rights import RIGHTS
from provisioner.core.roles import Role
from tests.unit.api.ec2.conftest import Ec2, code_of


def test_access_keys_have_roles_of_the_same_table(ec2: Ec2) -> None:
    made = ec2.api.post("/v1/access-keys", {"role": "reader"}, 201)
    ec2.id, ec2.secret = made["id"], made["secret"]
    for name in OPERATIONS:
        row = RIGHTS[f"ec2 {name}"]
        assert row.least is not None
        answer = ec2.call(name)
        assert (b"UnauthorizedOperation" in answer.content) == (not Role.READER.covers(row.least)), name


def test_a_key_goes_with_its_user(ec2: Ec2) -> None:
    api = ec2.api
    ann = api.user_of("blue", "member")
    made = api.post("/v1/access-keys", {"user": ann.name}, 201)
    assert (made["tenant"], made["user"]) == ("blue", ann.name)
    ec2.id, ec2.secret = made["id"], made["secret"]
    assert ec2.call("DescribeInstances").status_code == 200
    api.call("DELETE", f"/v1/users/{ann.name}").raise_for_status()
    assert ec2.refused("DescribeInstances") == "InvalidClientTokenId"
    api.post("/v1/access-keys", {"user": ann.name}, 404)


def test_a_private_image_is_told_of_and_run_by_its_tenant_alone(ec2: Ec2) -> None:
    api = ec2.api
    api.register_images()
    api.call("PUT", "/v1/images/root/sharing", json={"public": False}).raise_for_status()
    other = Ec2(api, "blue")
    (own,) = described(ec2, "machine")
    mine = ec2.read("DescribeImages", **{"Owner.1": "self"})["Images"]
    assert (own["Public"], own["ImageId"] in {image["ImageId"] for image in mine}) == (False, True)
    assert described(other, "machine") == []
    assert len(described(other, "kernel")) == 1
    order = {"InstanceType": "small", "MinCount": "1", "MaxCount": "1"}
    for action, parameter, more in (
        ("DescribeImages", "ImageId.1", {}),
        ("RunInstances", "ImageId", order),
        ("CreateTags", "ResourceId.1", {"Tag.1.Key": "k", "Tag.1.Value": "v"}),
    ):
        theirs = other.call(action, **{parameter: own["ImageId"]}, **more)
        assert code_of(theirs) == "InvalidAMIID.NotFound"
        nothing = other.call(action, **{parameter: NOTHING}, **more)
        assert told(theirs).replace(own["ImageId"], NOTHING) == told(nothing)


NOTHING = "ami-00000000000000000"


def told(answer: httpx.Response) -> str:
    """All but the request's id."""
    return answer.text.split("<RequestID>")[0]


def described(ec2: Ec2, type: str) -> list[dict[str, Any]]:
    wanted = {"Filter.1.Name": "image-type", "Filter.1.Value.1": type}
    images: list[dict[str, Any]] = ec2.read("DescribeImages", **wanted)["Images"]
    return images
