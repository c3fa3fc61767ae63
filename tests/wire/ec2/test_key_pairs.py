from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.wire.ec2.conftest import Place, code_of
from tests.wire.ec2.test_instances import run, show

pytestmark = pytest.mark.wire


def keygen(*words: str) -> str:
    return subprocess.run(
        ["ssh-keygen", *words], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
    ).stdout


@pytest.fixture
def name(ec2: Any) -> Any:
    yield "my key"
    ec2.delete_key_pair(KeyName="my key")


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_key_pair_is_made_of_which_ssh_can_use_the_private_half(
    ec2: Any, name: str, kind: str, tmp_path: Path
) -> None:
    made = ec2.create_key_pair(KeyName=name, KeyType=kind)
    private = tmp_path / "id"
    private.touch(0o600)
    private.write_text(made["KeyMaterial"])
    (shown,) = ec2.describe_key_pairs(KeyNames=[name], IncludePublicKey=True)["KeyPairs"]
    assert keygen("-y", "-f", str(private)).split()[:2] == shown["PublicKey"].split()[:2]
    assert shown["KeyType"] == kind
    assert shown["KeyFingerprint"] == made["KeyFingerprint"]
    assert shown["KeyPairId"] == made["KeyPairId"]
    assert code_of(ec2.create_key_pair, KeyName=name) == "InvalidKeyPair.Duplicate"


def test_a_key_pair_is_made_once_per_name_and_its_private_half_is_nowhere(
    place: Place, ec2: Any, name: str
) -> None:
    made = ec2.create_key_pair(KeyName=name)["KeyMaterial"].splitlines()[5]
    for file in place.service.folder.rglob("*"):
        assert not file.is_file() or made.encode() not in file.read_bytes(), file


def test_a_key_from_elsewhere_has_the_fingerprint_that_its_owner_knows(
    ec2: Any, name: str, tmp_path: Path
) -> None:
    keygen("-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", str(tmp_path / "id"))
    public = (tmp_path / "id.pub").read_text()
    made = ec2.import_key_pair(KeyName=name, PublicKeyMaterial=public)
    known = keygen("-l", "-E", "sha256", "-f", str(tmp_path / "id.pub")).split()[1]
    assert known == "SHA256:" + made["KeyFingerprint"].rstrip("=")
    (id,) = run(ec2, KeyName=name)
    assert show(ec2, id)["KeyName"] == name


@pytest.mark.parametrize(
    "text", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "-----BEGIN RSA PRIVATE KEY-----", "ü"]
)
def test_what_is_no_public_key_is_refused(ec2: Any, text: str) -> None:
    assert code_of(ec2.import_key_pair, KeyName="k", PublicKeyMaterial=text) == "InvalidKey.Format"


def test_key_pairs_are_found_by_name_id_and_tag(ec2: Any, name: str) -> None:
    tagged = [{"ResourceType": "key-pair", "Tags": [{"Key": "for", "Value": "tests"}]}]
    id = ec2.create_key_pair(KeyName=name, KeyType="ed25519", TagSpecifications=tagged)["KeyPairId"]
    for asked in (
        {"KeyPairIds": [id]},
        {"Filters": [{"Name": "tag:for", "Values": ["t*"]}]},
        {"Filters": [{"Name": "key-name", "Values": ["my*"]}]},
    ):
        assert [key["KeyName"] for key in ec2.describe_key_pairs(**asked)["KeyPairs"]] == [name]
    assert code_of(ec2.describe_key_pairs, KeyNames=["x"]) == "InvalidKeyPair.NotFound"
    assert ec2.delete_key_pair(KeyPairId=id)["Return"] is True
    assert ec2.delete_key_pair(KeyName=name)["Return"] is True
    assert ec2.describe_tags()["Tags"] == []


@pytest.mark.parametrize("given", [{"KeyType": "dsa"}, {"KeyFormat": "ppk"}])
def test_other_kinds_of_keys_are_not_supported(ec2: Any, given: dict[str, str]) -> None:
    assert code_of(ec2.create_key_pair, KeyName="k", **given) == "UnsupportedOperation"
