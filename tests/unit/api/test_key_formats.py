"""Public keys as other programs write them."""

from __future__ import annotations

import base64
import textwrap

import pytest
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from provisioner.api.public_keys import checked_key
from provisioner.core.errors import InvalidInput

KEYS = [rsa.generate_private_key(65537, 1024).public_key(), ed25519.Ed25519PrivateKey.generate().public_key()]


@pytest.fixture(params=KEYS, ids=["RSA", "Ed25519"])
def key(request: pytest.FixtureRequest) -> rsa.RSAPublicKey | ed25519.Ed25519PublicKey:
    made: rsa.RSAPublicKey | ed25519.Ed25519PublicKey = request.param
    return made


def line_of(key: rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> str:
    return key.public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH).decode()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "headers", ["", 'Comment: "me: at home"\n', "Subject: me\nComment: a long one \\\n that goes on\n"]
)
def test_one_by_rfc_4716_is_the_same_as_openssh_has_it(
    key: rsa.RSAPublicKey | ed25519.Ed25519PublicKey, headers: str, end: str
) -> None:
    line = line_of(key)
    content = "\n".join(textwrap.wrap(line.split(" ")[1], 70))
    text = f"---- BEGIN SSH2 PUBLIC KEY ----\n{headers}{content}\n---- END SSH2 PUBLIC KEY ----\n"
    assert checked_key(text.replace("\n", end), "key") == line


def test_one_as_der_is_the_same_as_openssh_has_it(
    key: rsa.RSAPublicKey | ed25519.Ed25519PublicKey,
) -> None:
    der = key.public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)
    assert checked_key(base64.encodebytes(der).decode(), "key") == line_of(key)


@pytest.mark.parametrize(
    "text",
    [
        "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n",
        "---- BEGIN SSH2 PUBLIC KEY ----\nno base64\n---- END SSH2 PUBLIC KEY ----\n",
        "---- BEGIN SSH2 PUBLIC KEY ----\n---- END SSH2 PUBLIC KEY ----\n",
        base64.b64encode(b"no DER").decode(),
        "AAA",
    ],
)
def test_what_only_looks_like_one_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        checked_key(text, "key")


def test_two_keys_are_not_taken_for_one_with_a_long_comment() -> None:
    lines = [f"{line_of(key)} me@here" for key in KEYS]
    with pytest.raises(InvalidInput, match="it has several lines, and a key is one"):
        checked_key("\n".join(lines), "key")
    assert checked_key(f"{lines[0]}\n", "key") == lines[0]
