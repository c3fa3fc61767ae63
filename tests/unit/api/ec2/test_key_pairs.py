"""Key pairs that came by REST, as EC2's clients see them."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.unit.api.ec2.conftest import Ec2


def add(ec2: Ec2, name: str, kind: str) -> None:
    """A key of which nothing but its type is as it should be."""
    blob = len(kind).to_bytes(4) + kind.encode() + b"\0\0\0\1\3"
    ec2.api.post("/v1/keys", {"name": name, "public_key": f"{kind} {b64encode(blob).decode()}"}, 201)


@pytest.mark.parametrize(
    ("kind", "told"),
    [("ssh-rsa", "rsa"), ("ssh-ed25519", "ed25519"), ("ecdsa-sha2-nistp256", None)],
)
def test_a_key_that_cannot_be_read_hides_no_others(ec2: Ec2, kind: str, told: str | None) -> None:
    add(ec2, "good", "ssh-ed25519")
    add(ec2, "odd", kind)
    found = {one["KeyName"]: one for one in ec2.read("DescribeKeyPairs")["KeyPairs"]}
    assert set(found) == {"good", "odd"}
    assert found["odd"].get("KeyType") == told
    assert found["odd"]["KeyFingerprint"]
