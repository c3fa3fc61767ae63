"""What is another tenant's is answered as what isn't there, whoever asks for it and however."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from provisioner.api.ec2.operations import OPERATIONS
from provisioner.api.rights import RIGHTS
from provisioner.core.ec2_ids import image_id, instance_id, public_id
from provisioner.core.model import Image, ImageKind, Instance, NodeRequest
from provisioner.core.roles import Role
from provisioner.protocols.store import Tx
from provisioner.services.system import RandomIds
from tests.described import described
from tests.unit.api.conftest import Api, User
from tests.unit.api.ec2.conftest import Ec2
from tests.unit.api.test_instances import KEY

NOBODYS = "0badc0de-0bad-4bad-8bad-0badc0de0bad"

THINGS = {
    "instance": "instance",
    "image": "root",
    "kernel": "kernel",
    "kernel_id": "kernel",
    "ramdisk": "ramdisk",
    "ramdisk_id": "ramdisk",
    "key": "key",
    "request_id": "request",
}
"""Words of paths and bodies that name what belongs to a tenant, and which of blue's things each is given."""

EVERYBODYS = {"flavor"}

ORDERS: dict[str, dict[str, Any]] = {
    "POST /v1/instances": {"name": "mine", "flavor": "small", "image": "root"},
    "POST /v1/placement": {"flavor": "small", "image": "root"},
    "POST /v1/images": {"name": "mine", "kind": "root", "kernel_id": "kernel", "ramdisk_id": "ramdisk"},
    "PUT /v1/images/{image}/sharing": {"add": []},
    "PUT /v1/images/{image}/content": {},
    "POST /v1/instances/{instance}/power": {"change": "stop"},
}

EC2_THINGS = {
    "InstanceId": ("InstanceId", "instance"),
    "InstanceIds": ("InstanceId.1", "instance"),
    "ImageId": ("ImageId", "root"),
    "ImageIds": ("ImageId.1", "root"),
    "KernelId": ("KernelId", "kernel"),
    "RamdiskId": ("RamdiskId", "ramdisk"),
    "KeyPairId": ("KeyPairId", "key"),
    "KeyPairIds": ("KeyPairId.1", "key"),
    "Resources": ("ResourceId.1", "instance"),
}
"""As `THINGS`, with how each is sent."""

NO_THINGS = {"ZoneIds", "UserIds"}

EC2_ORDERS: dict[str, dict[str, str]] = {
    "CreateTags": {"Tag.1.Key": "a", "Tag.1.Value": "b"},
    "DeleteTags": {"Tag.1.Key": "a"},
    "DescribeImageAttribute": {"Attribute": "kernel"},
    "DescribeInstanceStatus": {"IncludeAllInstances": "true"},
    "ModifyImageAttribute": {"LaunchPermission.Add.1.UserId": "000000000000"},
    "RegisterImage": {"Name": "mine", "ImageLocation": "http://127.0.0.1:1/mine"},
    "RunInstances": {"InstanceType": "small", "MinCount": "1", "MaxCount": "1"},
}


def asked_of_paths() -> Iterator[tuple[str, str]]:
    """Each operation that a tenant's user may ask for, with each word of its path that names something."""
    for row, right in RIGHTS.items():
        # Operators see what all tenants have: from them nothing is hidden.
        if not row.startswith("ec2 ") and right.least in (Role.READER, Role.MEMBER):
            for word in re.findall(r"\{(\w+)\}", row):
                if word not in EVERYBODYS:
                    yield row, word


def asked_of_bodies() -> Iterator[tuple[str, str]]:
    document = described()
    for row, right in RIGHTS.items():
        verb, _, path = row.partition(" ")
        if verb == "ec2" or right.least not in (Role.READER, Role.MEMBER):
            continue
        content = document["paths"][path][verb.lower()].get("requestBody", {}).get("content", {})
        named = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
        for word in document["components"]["schemas"][named]["properties"] if named else ():
            if word in THINGS or word.endswith("_id"):
                yield row, word


def asked_of_ec2() -> Iterator[tuple[str, str]]:
    for name, operation in OPERATIONS.items():
        for parameter in sorted(operation.takes):
            if re.search(r"Ids?$|^Resources$", parameter) and parameter not in NO_THINGS:
                yield name, parameter


class Blue:
    """A tenant with one of each, and red, which has nothing."""

    def __init__(self, api: Api) -> None:
        self.api = api
        api.register_images()
        blue, self.red = api.user_of("blue", "member"), api.user_of("red", "member")
        self.ids = {}
        for kind in ("kernel", "ramdisk", "root"):
            parts = {"kernel_id": "kernel", "ramdisk_id": "ramdisk"} if kind == "root" else {}
            order = {"name": f"blue-{kind}", "kind": kind} | parts
            self.ids[kind] = made(blue, "/v1/images", order)
            path = f"/v1/images/{self.ids[kind]}/content"
            blue.call("PUT", path, content=kind.encode() * 512).raise_for_status()
        self.ids["key"] = made(blue, "/v1/keys", {"name": "blue-key", "public_key": KEY})
        order = {"name": "blue-instance", "flavor": "small", "image": "root"}
        self.ids["instance"] = made(blue, "/v1/instances", order)
        self.ids["request"] = api.transact(self._switch)

    def _switch(self, tx: Tx) -> str:
        """What is left of an order to switch its machine."""
        at = tx.now()
        order = NodeRequest(
            id="b1ae0000-0000-4000-8000-000000000000",
            node_id="node-1",
            instance_id=self.ids["instance"],
            verb="power:shutdown",
            created_at=at,
            updated_at=at,
        )
        tx.insert(order)
        return order.id

    def reds_own(self) -> str:
        return made(self.red, "/v1/instances", {"name": "reds", "flavor": "small", "image": "root"})

    def ec2_id(self, thing: str) -> str:
        id = self.ids[thing]
        if thing == "key":
            return public_id("key", id)
        if thing == "instance":
            return instance_id(id)
        found = self.api.transact(lambda tx: tx.get(Image, id))
        assert found is not None
        return image_id(found)


def made(user: User, path: str, order: dict[str, Any]) -> str:
    answer = user.call("POST", path, order)
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def blue(api: Api, monkeypatch: pytest.MonkeyPatch) -> Blue:
    # As EC2's clients need them, see their own fixture.
    api.context.ids = RandomIds()
    monkeypatch.setattr("tests.unit.api.conftest.NOW", datetime.now().astimezone())
    return Blue(api)


def told(answer: httpx.Response, asked: str) -> tuple[int, str]:
    """All of it, but for what was asked for and the number of the request."""
    text = answer.text.replace(asked, "ASKED")
    return answer.status_code, re.sub(r"(<requestId>)[^<]*", r"\1", text, flags=re.IGNORECASE)


@pytest.mark.parametrize(("row", "word"), [*asked_of_paths()])
def test_anothers_is_answered_as_nobodys(blue: Blue, row: str, word: str) -> None:
    verb, _, path = row.partition(" ")
    thing = THINGS[word]

    if word == "request_id":
        path = path.replace("{instance}", blue.reds_own())

    def ask(named: str) -> tuple[int, str]:
        return told(blue.red.call(verb, path.replace(f"{{{word}}}", named), ORDERS.get(row)), named)

    unknown = ask(NOBODYS)
    assert unknown[0] == 404
    assert ask(blue.ids[thing]) == ask(f"blue-{thing}") == unknown


@pytest.mark.parametrize(("row", "word"), [*asked_of_bodies()])
def test_anothers_that_an_order_names_is_answered_as_nobodys(blue: Blue, row: str, word: str) -> None:
    verb, _, path = row.partition(" ")
    thing = THINGS[word]

    def ask(named: str) -> tuple[int, str]:
        return told(blue.red.call(verb, path, ORDERS[row] | {word: named}), named)

    unknown = ask(NOBODYS)
    assert unknown[0] == 404
    assert ask(blue.ids[thing]) == ask(f"blue-{thing}") == unknown


@pytest.mark.parametrize(("action", "parameter"), [*asked_of_ec2()])
def test_anothers_is_answered_as_nobodys_at_ec2(api: Api, blue: Blue, action: str, parameter: str) -> None:
    red = Ec2(api, "red")
    sent, thing = EC2_THINGS[parameter]
    order = dict(EC2_ORDERS.get(action, {}))
    if action == "RunInstances" and parameter != "ImageId":
        order["ImageId"] = public("root", api)
    if action == "RegisterImage" and parameter == "RamdiskId":
        order["KernelId"] = public("kernel", api)

    def ask(named: str) -> tuple[int, str]:
        return told(red.call(action, **order, **{sent: named}), named)

    prefix = blue.ec2_id(thing).partition("-")[0]
    unknown = ask(public_id(prefix, NOBODYS))
    assert unknown[0] == 200 or "ASKED" in unknown[1], "what it was refused for is another parameter"
    assert ask(blue.ec2_id(thing)) == unknown


def public(name: str, api: Api) -> str:
    return image_id(api.transact(lambda tx: tx.find(Image, where={"name": name, "public": True}))[0])


def test_the_tables_hold_every_kind_of_operation() -> None:
    """What they are made of could come to nothing unseen."""
    assert {word for _, word in asked_of_paths()} == {"instance", "image", "key", "request_id"}
    assert {word for _, word in asked_of_bodies()} >= {"image", "kernel", "ramdisk", "key", "kernel_id"}
    assert {parameter for _, parameter in asked_of_ec2()} == set(EC2_THINGS)


def test_who_names_something_by_anothers_id_gets_their_own(blue: Blue) -> None:
    """Were it hidden by the other's, it would tell that there is one of this id."""
    for id in (blue.ids["instance"], blue.ids["root"], NOBODYS):
        mine = made(blue.red, "/v1/instances", {"name": id, "flavor": "small", "image": "root"})
        assert blue.red.call("GET", f"/v1/instances/{id}").json()["id"] == mine
        assert blue.red.call("DELETE", f"/v1/instances/{id}").json()["id"] == mine
        image = made(blue.red, "/v1/images", {"name": id, "kind": "kernel"})
        assert blue.red.call("GET", f"/v1/images/{id}").json()["id"] == image
        assert blue.red.call("DELETE", f"/v1/images/{id}").status_code == 204
    kept = blue.api.transact(lambda tx: tx.get(Instance, blue.ids["instance"]))
    assert kept is not None and not kept.delete_requested
    root = blue.api.transact(lambda tx: tx.get(Image, blue.ids["root"]))
    assert root is not None and root.kind is ImageKind.ROOT
