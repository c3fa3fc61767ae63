from __future__ import annotations

import pytest

from provisioner.api.ec2.tags import MAX_KEY, MAX_VALUE
from tests.unit.api.ec2.conftest import PUBLIC_KEY, Ec2, code_of


@pytest.mark.parametrize(
    ("tag", "code", "told"),
    [
        ({"Tag.1.Key": "k" * MAX_KEY}, "InvalidParameterValue", "a key of 1 to 127 letters"),
        ({"Tag.1.Key": "k", "Tag.1.Value": "v" * (MAX_VALUE + 1)}, "InvalidParameterValue", "value has 256"),
        ({"Tag": ""}, "MissingParameter", "the parameter Tag"),
        ({}, "MissingParameter", "the parameter Tag"),
    ],
)
def test_what_is_no_tag_is_refused_with_what_is_wrong(
    ec2: Ec2, tag: dict[str, str], code: str, told: str
) -> None:
    key = ec2.read("ImportKeyPair", KeyName="k", PublicKeyMaterial=PUBLIC_KEY)["KeyPairId"]
    answer = ec2.call("CreateTags", **{"ResourceId.1": key, **tag})
    assert code_of(answer) == code
    assert told in answer.text.replace("&apos;", "'")
    assert ec2.read("DescribeTags")["Tags"] == []


@pytest.mark.parametrize("id", ["vol-0123456789abcdef0", "vpc-01234567", "subnet-0123456789abcdef0"])
def test_a_tag_of_what_is_not_here_is_unsupported_by_name(ec2: Ec2, id: str) -> None:
    answer = ec2.call("CreateTags", **{"ResourceId.1": id, "Tag.1.Key": "k"})
    assert code_of(answer) == "UnsupportedOperation"
    assert id in answer.text


def test_what_is_no_id_is_told(ec2: Ec2) -> None:
    assert ec2.refused("CreateTags", **{"ResourceId.1": "a volume", "Tag.1.Key": "k"}) == "InvalidID"
