"""Key pairs as EC2's clients bring them, and see those that came by REST."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest

from provisioner.api import catalog
from provisioner.core.model import KeyPair
from tests.unit.api.ec2.conftest import PUBLIC_KEY, Ec2, code_of
from tests.unit.records import NOW


def add(ec2: Ec2, name: str, kind: str) -> None:
    """A key of which nothing but its type is as it should be: such were taken once."""
    blob = len(kind).to_bytes(4) + kind.encode() + b"\0\0\0\1\3"
    line = f"{kind} {b64encode(blob).decode()}"
    key = KeyPair(id=ec2.api.context.ids.uuid(), name=name, public_key=line, tenant="default", created_at=NOW)
    ec2.api.transact(lambda tx: tx.insert(key))


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


@pytest.mark.parametrize("bits", [512, 20000])
def test_an_rsa_key_of_an_odd_size_is_refused(ec2: Ec2, bits: int) -> None:
    numbers = (b"ssh-rsa", b"\1\0\1", (2 ** (bits - 1) + 1).to_bytes(bits // 8 + 1))
    blob = b"".join(len(one).to_bytes(4) + one for one in numbers)
    line = b"ssh-rsa " + b64encode(blob)
    told = ec2.call("ImportKeyPair", KeyName="k", PublicKeyMaterial=b64encode(line).decode())
    assert code_of(told) == "InvalidKey.Format"
    assert f"it has {bits} bits" in told.text


def test_a_key_has_a_bounded_length(ec2: Ec2) -> None:
    line = b64decode(PUBLIC_KEY) + b" " + b"x" * 16384
    assert ec2.refused("ImportKeyPair", KeyName="k", PublicKeyMaterial=b64encode(line).decode()) == (
        "InvalidKey.Format"
    )


def test_a_tenant_has_a_bounded_number_of_keys(ec2: Ec2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "MAX_KEYS", 1)
    ec2.read("ImportKeyPair", KeyName="a", PublicKeyMaterial=PUBLIC_KEY)
    for name, parameters in (
        ("ImportKeyPair", {"PublicKeyMaterial": PUBLIC_KEY}),
        ("CreateKeyPair", {"KeyType": "ed25519"}),
    ):
        assert ec2.refused(name, KeyName="b", **parameters) == "ResourceLimitExceeded"
    assert (
        ec2.refused("ImportKeyPair", KeyName="a", PublicKeyMaterial=PUBLIC_KEY) == "InvalidKeyPair.Duplicate"
    )
