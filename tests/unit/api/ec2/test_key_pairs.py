"""Key pairs that came by REST, or before keys were read to their end, as EC2's clients see them."""

from __future__ import annotations

from base64 import b64encode

import pytest

from provisioner.core.model import KeyPair
from tests.unit.api.ec2.conftest import Ec2


def add(ec2: Ec2, name: str, kind: str) -> None:
    """A key of which nothing but its type is as it should be: such were taken once."""
    blob = len(kind).to_bytes(4) + kind.encode() + b"\0\0\0\1\3"
    line = f"{kind} {b64encode(blob).decode()}"
    ec2.api.transact(lambda tx: tx.insert(KeyPair(id=name, name=name, public_key=line, tenant="default")))


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


def test_a_key_that_nobody_can_read_is_not_imported(ec2: Ec2) -> None:
    line = b"ssh-ed25519 " + b64encode(b"\0\0\0\x0bssh-ed25519junk")
    refused = ec2.refused("ImportKeyPair", KeyName="k", PublicKeyMaterial=b64encode(line).decode())
    assert refused == "InvalidKey.Format"
    assert ec2.read("DescribeKeyPairs")["KeyPairs"] == []
