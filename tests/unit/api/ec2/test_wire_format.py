"""Requests and answers of all that EC2 has, against botocore's own reader and writer."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any
from xml.etree import ElementTree

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.model import Shape as TheirShape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from provisioner.api.ec2.answers import Writer, refusal, text
from provisioner.api.ec2.errors import Ec2Error
from provisioner.api.ec2.parameters import MAX_DEPTH, decode, members
from provisioner.api.ec2.shapes import VERSION, model

AT = datetime(2026, 2, 3, 4, 5, 6, 789000, UTC)
DEEPEST = 8


@cache
def theirs() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("ec2", "service-2", VERSION), "ec2")


OPERATIONS = tuple(theirs().operation_names)


def sample(shape: TheirShape, depth: int = 0) -> Any:
    """A value with all members of a shape; of shapes that hold themselves, as deep as DEEPEST."""
    match shape.type_name:
        case "structure":
            inner = {} if depth > DEEPEST else shape.members
            return {name: sample(member, depth + 1) for name, member in inner.items()}
        case "list":
            member = shape.member
            return [] if depth > DEEPEST else [sample(member, depth + 1)] * 2
        case "string":
            return "Füße & <Köpfe>\r\n+%41"
        case "integer":
            return -(2**31)
        case "long":
            return 2**63 - 1
        case "boolean":
            return True
        case "float" | "double":
            return 0.5
        case "timestamp":
            return AT
        case "blob":
            return b"\0\xff"
    raise AssertionError(shape.type_name)


def without_empty(value: Any) -> Any:
    """A structure of nothing is not on the wire, nor is an empty list."""
    if isinstance(value, dict):
        inner = {name: without_empty(one) for name, one in value.items()}
        return {name: one for name, one in inner.items() if one not in ({}, [])}
    if isinstance(value, list):
        return [one for one in map(without_empty, value) if one not in ({}, [])]
    return value


def form(parameters: dict[str, Any]) -> bytes:
    from urllib.parse import urlencode

    return urlencode(parameters).encode()


def test_every_request_is_read_as_it_was_meant() -> None:
    serializer = create_serializer("ec2", include_validation=False)
    for name in OPERATIONS:
        operation = theirs().operation_model(name)
        if operation.input_shape is None:
            continue
        meant = without_empty(sample(operation.input_shape))
        body = decode(form(serializer.serialize_to_request(meant, operation)["body"]))
        assert (body.pop("Action"), body.pop("Version")) == (name, VERSION)
        assert members(model(), model().input(name), body) == meant, name


def test_every_answer_is_understood() -> None:
    parser, writer = create_parser("ec2"), Writer(model())
    for name in OPERATIONS:
        operation = theirs().operation_model(name)
        shape = operation.output_shape
        meant = sample(shape) if shape else {}
        body = writer.answer(name, meant, "r-1").encode()
        found = parser.parse({"body": body, "headers": {}, "status_code": 200}, shape)
        assert found.pop("ResponseMetadata")["RequestId"] == "r-1"
        assert found == meant, name


def test_a_refusal_is_understood() -> None:
    error = Ec2Error("InvalidParameterValue", "<&> \x00 \ud800 ]]> \r\n", 400)
    parser = create_parser("ec2")
    found = parser.parse({"body": refusal(error, "r-1").encode(), "headers": {}, "status_code": 400}, None)
    assert found["Error"] == {"Code": "InvalidParameterValue", "Message": "<&> \ufffd \ufffd ]]> \r\n"}
    assert found["ResponseMetadata"]["RequestId"] == "r-1"


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_well_formed_in_an_answer(value: str) -> None:
    assert ElementTree.fromstring(f"<a>{text(value)}</a>") is not None


def test_a_member_that_the_model_lacks_is_a_defect() -> None:
    with pytest.raises(KeyError):
        Writer(model()).answer("DescribeRegions", {"Places": []}, "r-1")


def refused(body: str, operation: str = "RunInstances") -> str:
    with pytest.raises(Ec2Error) as caught:
        members(model(), model().input(operation), decode(body.encode()))
    return caught.value.code


NEEDED = "MinCount=1&MaxCount=1&"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (NEEDED + "Nonsense=1", "UnknownParameter"),
        (NEEDED + "ImageId.1=ami", "UnknownParameter"),
        (NEEDED + "Placement=here", "UnknownParameter"),
        (NEEDED + "Placement.Nowhere=1", "UnknownParameter"),
        (NEEDED + "Placement.HostId=1&Placement=1", "UnknownParameter"),
        (NEEDED + "TagSpecification.0.ResourceType=instance", "UnknownParameter"),
        (NEEDED + "TagSpecification.x.ResourceType=instance", "UnknownParameter"),
        (NEEDED + "TagSpecification.100000.ResourceType=instance", "UnknownParameter"),
        (NEEDED + "TagSpecification=instance", "UnknownParameter"),
        (NEEDED + ".".join(["A"] * (MAX_DEPTH + 1)) + "=1", "UnknownParameter"),
        (NEEDED + "..=1", "UnknownParameter"),
        ("MinCount=1&MaxCount=one", "InvalidParameterValue"),
        ("MinCount=1&MaxCount=1.0", "InvalidParameterValue"),
        ("MinCount=1&MaxCount=2147483648", "InvalidParameterValue"),
        ("MinCount=1&MaxCount=" + "9" * 5000, "InvalidParameterValue"),
        ("MinCount=1&MaxCount=%C2%B9", "InvalidParameterValue"),
        (NEEDED + "DryRun=yes", "InvalidParameterValue"),
        ("MaxCount=1", "MissingParameter"),
        (NEEDED + "MinCount=2", "InvalidParameterCombination"),
        (NEEDED + "ImageId=%ff", "MalformedQueryString"),
        (NEEDED + "ImageId=%00", "MalformedQueryString"),
        (NEEDED + "ImageId=ü", "MalformedQueryString"),
        ("&".join(f"A.{n}=1" for n in range(10_001)), "MalformedQueryString"),
    ],
)
def test_what_is_no_request_is_refused(body: str, code: str) -> None:
    assert refused(body) == code


def test_lists_are_in_the_order_of_their_numbers() -> None:
    body = decode(b"InstanceId.10=c&InstanceId.2=b&InstanceId.1=a")
    assert members(model(), model().input("DescribeInstances"), body) == {"InstanceIds": ["a", "b", "c"]}
