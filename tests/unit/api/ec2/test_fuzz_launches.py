"""Instances that are asked for where one is free, with whatever else may be said of them: what was asked for
is what is told of it, then and later; or it is refused in EC2's words, and nothing is there."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

import pytest
from botocore.awsrequest import AWSRequest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from provisioner.api.limits import LimitPolicy, Limits
from provisioner.core.model import Instance, KeyPair
from provisioner.core.states import InstanceState
from provisioner.services.system import RandomIds
from tests.searches import searching
from tests.unit import records
from tests.unit.api.conftest import Api
from tests.unit.api.ec2.conftest import Ec2, code_of
from tests.unit.api.ec2.test_operations import root_image
from tests.unit.api.planted import PUBLIC_KEY, kept

REFUSALS = frozenset(
    {
        "IdempotentParameterMismatch",
        "InvalidAMIID.Malformed",
        "InvalidAMIID.NotFound",
        "InvalidHostID.NotFound",
        "InvalidKeyPair.NotFound",
        "InvalidParameterCombination",
        "InvalidParameterValue",
        "InvalidUserData.Malformed",
        "InsufficientInstanceCapacity",
        "MalformedQueryString",
        "TagLimitExceeded",
        "UnknownParameter",
        "UnsupportedOperation",
    }
)
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""

ODD_KEY = "odd <key> & 'more' ]]>"

TOLD = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
ODD = st.one_of(
    st.text(TOLD | st.sampled_from("\t\n\r"), max_size=40),
    st.sampled_from(["<!--", "]]>", "\x85", "&lt;&#13;", " both ends ", "\r\n", "\u2028", "+%41"]),
)
"""What XML can hold, in one way or another."""

ANY = ODD | st.sampled_from(["\0", "\x1b", "\ufffe"])


@dataclass(frozen=True)
class Order:
    """parameters: as they are sent, beside those that each order has. tags: those among them."""

    parameters: dict[str, str]
    tags: dict[str, str]


@st.composite
def orders(draw: st.DrawFn) -> Order:
    parameters: dict[str, str] = {}
    tags = draw(st.dictionaries(draw(st.sampled_from([ODD, ODD, ANY])).filter(bool), ODD, max_size=4))
    more = draw(st.sampled_from([0, 0, 0, 50]))
    tags |= {f"more-{number}": "" for number in range(more)}
    if tags:
        parameters["TagSpecification.1.ResourceType"] = "instance"
    for number, (key, value) in enumerate(tags.items(), 1):
        parameters[f"TagSpecification.1.Tag.{number}.Key"] = key
        parameters[f"TagSpecification.1.Tag.{number}.Value"] = value
    token = draw(st.just("") | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=70) | ANY)
    if token:
        parameters["ClientToken"] = token
    key = draw(st.sampled_from(["", "", "own", ODD_KEY]) | ODD)
    if key:
        parameters["KeyName"] = key
    user_data = draw(st.just(b"") | ODD.map(str.encode) | st.binary(max_size=40))
    if user_data:
        parameters["UserData"] = b64encode(user_data).decode()
    parameters |= draw(st.dictionaries(NAMES, ANY, max_size=1) | st.just({}))
    parameters |= draw(st.sampled_from([{}, {}, *DEVICES, *OTHERS]))
    return Order(parameters, tags)


NAMES = st.sampled_from(
    [
        "Placement.AvailabilityZone",
        "Placement.HostId",
        "Placement.Tenancy",
        "Placement.GroupName",
        "KernelId",
        "RamdiskId",
        "UserData",
        "EbsOptimized",
        "Monitoring.Enabled",
        "BlockDeviceMapping.1.DeviceName",
        "BlockDeviceMapping.1.VirtualName",
        "BlockDeviceMapping.1.Ebs.VolumeSize",
        "BlockDeviceMapping.1.Ebs.SnapshotId",
        "TagSpecification.7.Tag.3.Key",
        "TagSpecification.7.ResourceType",
    ]
)

_DEVICE = "BlockDeviceMapping.1."
DEVICES = [
    {f"{_DEVICE}DeviceName": "/dev/sda1", f"{_DEVICE}Ebs.DeleteOnTermination": "true"},
    {
        f"{_DEVICE}DeviceName": "/dev/sda1",
        f"{_DEVICE}Ebs.VolumeSize": "0",
        f"{_DEVICE}Ebs.Encrypted": "false",
    },
    {f"{_DEVICE}DeviceName": "/dev/sda1", f"{_DEVICE}Ebs.VolumeSize": "2147483647"},
    {f"{_DEVICE}DeviceName": "/dev/sda1", f"{_DEVICE}Ebs.VolumeSize": "-1"},
    {f"{_DEVICE}DeviceName": "/dev/sdb", f"{_DEVICE}VirtualName": "ephemeral0"},
    {f"{_DEVICE}DeviceName": "/dev/sdb", f"{_DEVICE}NoDevice": ""},
]
OTHERS = [
    {"MaxCount": "2"},
    {"MinCount": "2", "MaxCount": "2"},
    {"Placement.HostId": "n1"},
    {"Placement.Tenancy": "dedicated", "Monitoring.Enabled": "true"},
    {"InstanceInitiatedShutdownBehavior": "stop", "DisableApiTermination": "false"},
]


class Anew(Ec2):
    """Signs each request anew: the same within a second would be taken for a replay."""

    count = 0

    def signed(self, body: str, *, region: str = "metal", service: str = "ec2", **headers: str) -> AWSRequest:
        self.count += 1
        return super().signed(body, region=region, service=service, **headers, Count=str(self.count))


@pytest.fixture(scope="module")
def ec2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ec2]:
    """One node is free."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.unit.api.conftest.NOW", datetime.now().astimezone())
        api = Api(tmp_path_factory.mktemp("fuzz"))
        api.context.ids = RandomIds()
        api.start()
        api.register_images()
        endless = LimitPolicy(requests_per_s=1e9, request_burst=10**9, failures_per_minute=10**9)
        api.context.limits = Limits(endless)
        api.transact(
            lambda tx: tx.insert(
                records.node(id="0" * 8),
                KeyPair(id="1" * 8, name="own", public_key=PUBLIC_KEY, tenant="default"),
                KeyPair(id="2" * 8, name=ODD_KEY, public_key=PUBLIC_KEY, tenant="default"),
            )
        )
        yield Anew(api)
        api.stop()


def launch(ec2: Ec2, order: Order) -> bool:
    """Whether it was made."""
    before = kept(ec2.api)
    asked = {"ImageId": root_image(ec2), "InstanceType": "small", "MinCount": "1", "MaxCount": "1"}
    asked |= order.parameters
    answer = ec2.call("RunInstances", **asked)
    if answer.status_code != 200:
        assert code_of(answer) in REFUSALS, answer.text
        # EC2 has no room with 500.
        assert answer.status_code == 400 or code_of(answer) == "InsufficientInstanceCapacity", answer.text
        assert ElementTree.fromstring(answer.content).findtext("Errors/Error/Message")
        assert kept(ec2.api) == before
        return False
    made = requested(ec2)
    try:
        # Of a token, the answer is told again; without one, one node is no two.
        if "ClientToken" in asked:
            again = ec2.read("RunInstances", **asked)["Instances"]
            assert [one["InstanceId"] for one in again] == [one["InstanceId"] for one in told(ec2)]
        else:
            assert ec2.call("RunInstances", **asked).status_code != 200
        assert len(made) == 1
        (found,) = told(ec2)
        assert {one["Key"]: one["Value"] for one in found.get("Tags", ())} == order.tags
        assert found.get("ClientToken", "") == asked.get("ClientToken", "")
        assert found.get("KeyName", "") == asked.get("KeyName", "")
        apart = ec2.read("DescribeTags").get("Tags", ())
        assert {(one["ResourceId"], one["Key"]): one["Value"] for one in apart} == {
            (found["InstanceId"], key): value for key, value in order.tags.items()
        }
        assert made[0].user_data.encode() == b64decode(asked.get("UserData", ""))
    finally:
        release(ec2, before)
    return True


def told(ec2: Ec2) -> list[dict[str, Any]]:
    found = ec2.read("DescribeInstances")["Reservations"]
    return [one for reservation in found for one in reservation["Instances"]]


def requested(ec2: Ec2) -> list[Instance]:
    return ec2.api.transact(lambda tx: list(tx.find(Instance, where={"state": InstanceState.REQUESTED})))


def release(ec2: Ec2, before: Any) -> None:
    """Ends what runs, and forgets it and its token, so that the next order finds what this one found."""
    for one in told(ec2):
        ec2.read("TerminateInstances", **{"InstanceId.1": one["InstanceId"]})
    assert not requested(ec2)
    new = [key for key in kept(ec2.api) if key not in before]
    ec2.api.transact(lambda tx: [tx.delete(kind, id) for kind, id in new])


@pytest.mark.exhaustive
def test_what_is_asked_for_with_an_order_is_told_of_it_or_refused(ec2: Ec2) -> None:
    made: list[bool] = []

    @given(orders())
    @searching(200, suppress_health_check=[HealthCheck.too_slow])
    def search(order: Order) -> None:
        made.append(launch(ec2, order))

    search()
    # So that it doesn't pass by having all refused, or all accepted.
    assert made.count(True) >= len(made) // 20 and not all(made)
