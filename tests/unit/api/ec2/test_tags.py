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
