from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provisioner.api import catalog
from tests.unit.api.conftest import Api

BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
KEY = f"ssh-ed25519 {BLOB} me@here"


def rsa_key(bits: int) -> str:
    numbers = (b"ssh-rsa", b"\1\0\1", (2 ** (bits - 1) + 1).to_bytes(bits // 8 + 1))
    blob = b"".join(len(one).to_bytes(4) + one for one in numbers)
    return f"ssh-rsa {base64.b64encode(blob).decode()}"


def test_flavors_are_made_shown_listed_and_deleted(api: Api) -> None:
    made = api.post("/v1/flavors", {"name": "big", "cpus": 8, "extra_specs": {"cpu_arch": "x86_64"}}, 201)
    assert (made["cpus"], made["swap_mib"]) == (8, 0)
    assert api.get("/v1/flavors/big") == api.get("/v1/flavors")["items"][0] == made
    api.post("/v1/flavors", {"name": "big"}, 409)
    assert api.call("DELETE", "/v1/flavors/big").status_code == 204
    assert api.call("DELETE", "/v1/flavors/big").status_code == 404


@pytest.mark.parametrize(
    "changes", [{"cpus": -1}, {"name": "a b"}, {"memory_mib": "lots"}, {"colour": "red"}]
)
def test_a_flavor_without_sense_is_refused(api: Api, changes: dict[str, object]) -> None:
    api.post("/v1/flavors", {"name": "x"} | changes, 422)


def test_keys_are_kept_as_one_line(api: Api) -> None:
    assert api.post("/v1/keys", {"name": "me", "public_key": f"  {KEY}\n"}, 201)["public_key"] == KEY
    assert api.get("/v1/keys/me")["public_key"] == KEY
    assert api.call("DELETE", "/v1/keys/me").status_code == 204
    assert api.get("/v1/keys")["items"] == []


def made(kind: str, *parts: bytes) -> str:
    """A line of OpenSSH's, of these parts. RFC 4253 §6.6, PROTOCOL.u2f of OpenSSH."""
    blob = b"".join(len(part).to_bytes(4) + part for part in (kind.encode(), *parts))
    return f"{kind} {base64.b64encode(blob).decode()}"


def curve_point(curve: ec.EllipticCurve) -> bytes:
    form = serialization.PublicFormat.UncompressedPoint
    return ec.derive_private_key(7, curve).public_key().public_bytes(serialization.Encoding.X962, form)


E, N = b"\1\0\1", b"\0\xff" + bytes(254) + b"\1"
P256 = curve_point(ec.SECP256R1())


@pytest.mark.parametrize(
    "line",
    [
        made("ssh-ed25519", bytes(32)),
        made("ssh-rsa", E, N),
        made("ecdsa-sha2-nistp256", b"nistp256", P256),
        made("ecdsa-sha2-nistp384", b"nistp384", curve_point(ec.SECP384R1())),
        made("ecdsa-sha2-nistp521", b"nistp521", curve_point(ec.SECP521R1())),
        made("sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:"),
        made("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", P256, b"ssh:") + " Füße",
    ],
)
def test_keys_of_every_type_of_opensshs_are_taken(api: Api, line: str) -> None:
    assert api.post("/v1/keys", {"name": "me", "public_key": line}, 201)["public_key"] == line


@pytest.mark.parametrize(
    "line",
    [
        "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519junk").decode(),
        made("ssh-ed25519"),
        made("ssh-ed25519", bytes(31)),
        made("ssh-ed25519", bytes(32), b"more"),
        made("ssh-rsa", E),
        made("ssh-rsa", E, N[1:]),  # negative
        made("ecdsa-sha2-nistp256", b"nistp384", P256),
        made("ecdsa-sha2-nistp256", b"nistp256", P256[:-1]),
        made("ecdsa-sha2-nistp256", b"nistp256", P256[:-1] + b"x"),  # beside the curve
        made("ecdsa-sha2-nistp256", b"nistp256", b"\0"),
        made("sk-ssh-ed25519@openssh.com", bytes(32)),
    ],
)
def test_a_key_that_nobody_can_read_is_refused(api: Api, line: str) -> None:
    answer = api.post("/v1/keys", {"name": "me", "public_key": line}, 422)
    assert "its content isn't a key of its type" in answer["title"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "doesn't begin with a key type"),
        ("ssh-ed25519", "doesn't begin with a key type"),
        ("ssh-dss AAAA", "doesn't begin with a key type"),
        (made("sk-ssh-ed25519-cert-v01@openssh.com", bytes(32)), "doesn't begin with a key type"),
        ("ssh-ed25519 not*base64", "isn't base64"),
        ("ssh-ed25519 é", "isn't base64"),
        (f"ssh-rsa {BLOB}", "its type and its content differ"),
        ("ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0b").decode(), "its type and its content differ"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n", "it is a private key"),
        ("ssh-rsa " + base64.b64encode(b"\0\0\0\x07ssh-rsa").decode(), "its content isn't a key of its type"),
        (rsa_key(2048)[:-8], "its content isn't a key of its type"),
        (rsa_key(1023), "it has 1023 bits"),
        (rsa_key(16385), "it has 16385 bits"),
        (f"{KEY} {'é' * 8192}", "it has more than 16384 bytes"),
        (f'command="rm -rf /" {KEY}', "doesn't begin with a key type"),
    ],
)
def test_what_is_no_public_key_is_refused_and_not_repeated(api: Api, text: str, told: str) -> None:
    answer = api.post("/v1/keys", {"name": "me", "public_key": text}, 422)
    assert told in answer["title"]
    assert "id_ed25519.pub" in answer["advice"]
    assert "b3BlbnNzaC1rZXk" not in str(answer)


@pytest.mark.parametrize("bits", [1024, 2048, 16384])
def test_rsa_keys_of_these_sizes_are_taken(api: Api, bits: int) -> None:
    api.post("/v1/keys", {"name": "me", "public_key": rsa_key(bits)}, 201)


def test_a_tenant_has_a_bounded_number_of_keys(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "MAX_KEYS", 2)
    for name in ("one", "two"):
        api.post("/v1/keys", {"name": name, "public_key": KEY}, 201)
    told = api.post("/v1/keys", {"name": "three", "public_key": KEY}, 409)
    assert "has 2 keys" in told["title"]
    other = api.user_of("blue", "member")
    assert other.call("POST", "/v1/keys", {"name": "three", "public_key": KEY}).status_code == 201
    api.call("DELETE", "/v1/keys/one").raise_for_status()
    api.post("/v1/keys", {"name": "three", "public_key": KEY}, 201)


def test_lists_of_keys_and_flavors_have_pages(api: Api) -> None:
    for number in range(3):
        api.post("/v1/flavors", {"name": f"f{number}"}, 201)
    first = api.get("/v1/flavors?limit=2")
    assert [flavor["name"] for flavor in first["items"]] == ["f0", "f1"]
    assert [flavor["name"] for flavor in api.get(first["next"])["items"]] == ["f2"]
