"""Key pairs: made here, brought from elsewhere, and forgotten. The private half is kept nowhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from provisioner.api.catalog import TooManyKeys, insert_key, remove_key
from provisioner.api.ec2.call import Call, Members
from provisioner.api.ec2.errors import Ec2Error, missing, unsupported
from provisioner.api.ec2.filters import Filters, Looks
from provisioner.api.ec2.ids import bounded, find_key_pair
from provisioner.api.ec2.tags import TagsOf, of_specifications, put, tag_set, tags_of
from provisioner.api.public_keys import checked_key
from provisioner.core.ec2_ids import key_pair_id
from provisioner.core.errors import Conflict, InvalidInput
from provisioner.core.model import KeyPair
from provisioner.protocols.store import Tx

RSA_BITS = 2048
MAX_NAME = 255

_TYPES = {"ssh-rsa": "rsa", "ssh-ed25519": "ed25519"}
"""As EC2 calls them, which knows no others."""

_LOOKS: Looks[KeyPair] = {
    "fingerprint": lambda key: [fingerprint_of(key)],
    "key-name": lambda key: [key.name],
    "key-pair-id": lambda key: [key_pair_id(key.id)],
}


@dataclass(frozen=True, slots=True)
class MadeKey:
    public_line: str
    fingerprint: str
    private_pem: str = field(repr=False)


def make_key(given: Mapping[str, Any]) -> MadeKey:
    """What CreateKeyPair asks for. Fingerprints as EC2 makes them: of RSA, SHA-1 of the private key (PKCS 8);
    of Ed25519, SHA-256 of the public one.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/verify-keys.html
    """
    if given.get("KeyFormat", "pem") != "pem":
        raise unsupported("A key format other than pem")
    private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    match given.get("KeyType", "rsa"):
        case "rsa":
            private = rsa.generate_private_key(65537, RSA_BITS)
            form = s.PrivateFormat.TraditionalOpenSSL
        case "ed25519":
            private = ed25519.Ed25519PrivateKey.generate()
            form = s.PrivateFormat.OpenSSH
        case _:
            raise unsupported("A key type other than rsa and ed25519")
    line = private.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH).decode()
    pem = private.private_bytes(s.Encoding.PEM, form, s.NoEncryption()).decode()
    if isinstance(private, rsa.RSAPrivateKey):
        der = private.private_bytes(s.Encoding.DER, s.PrivateFormat.PKCS8, s.NoEncryption())
        told = hashlib.sha1(der, usedforsecurity=False).hexdigest()
        return MadeKey(line, _colons(told), pem)
    return MadeKey(line, _sha256(line), pem)


def create_key_pair(tx: Tx, call: Call) -> Members:
    made: MadeKey = call.prepared
    return _stored(tx, call, made.public_line, made.fingerprint) | {"KeyMaterial": made.private_pem}


def import_key_pair(tx: Tx, call: Call) -> Members:
    try:
        line = checked_key(call.given["PublicKeyMaterial"].decode("ascii"), "PublicKeyMaterial")
    except UnicodeDecodeError as error:
        raise Ec2Error("InvalidKey.Format", "Key is not in valid OpenSSH public key format") from error
    except InvalidInput as error:
        told = f"Key is not in valid OpenSSH public key format: {error.answer}"
        raise Ec2Error("InvalidKey.Format", told) from error
    return _stored(tx, call, line, _fingerprint(line))


def delete_key_pair(tx: Tx, call: Call) -> Members:
    """Instances that have it keep it. One that isn't there is gone as well."""
    found: KeyPair | None
    if "KeyPairId" in call.given:
        found = find_key_pair(tx, call.tenant, call.given["KeyPairId"])
    elif "KeyName" in call.given:
        found = find_by_name(tx, call.tenant, call.given["KeyName"])
    else:
        raise missing("KeyName")
    if found is None:
        return {"Return": True}
    remove_key(tx, found)
    return {"Return": True, "KeyPairId": key_pair_id(found.id)}


def describe_key_pairs(tx: Tx, call: Call) -> Members:
    found = tx.find(KeyPair, where={"tenant": call.tenant})
    names, ids = call.given.get("KeyNames"), call.given.get("KeyPairIds")
    for name in names or ():
        if name not in {key.name for key in found}:
            raise no_key(name)
    for id in bounded(ids or []):
        find_key_pair(tx, call.tenant, id)
    if names or ids:
        found = [key for key in found if key.name in (names or ()) or key_pair_id(key.id) in (ids or ())]
    tags = tags_of(tx, call.tenant, [key_pair_id(key.id) for key in found])
    wanted = Filters(call.given.get("Filters", ()), _LOOKS, lambda key: tags(key_pair_id(key.id)))
    public = call.given.get("IncludePublicKey", False)
    ordered = sorted(filter(wanted, found), key=lambda key: key.name)
    return {"KeyPairs": [_view(key, tags, public) for key in ordered]}


def find_by_name(tx: Tx, tenant: str, name: str) -> KeyPair | None:
    return next(iter(tx.find(KeyPair, where={"tenant": tenant, "name": name}, limit=1)), None)


def no_key(name: str) -> Ec2Error:
    return Ec2Error("InvalidKeyPair.NotFound", f"The key pair '{name[:MAX_NAME]}' does not exist")


def fingerprint_of(key: KeyPair) -> str:
    try:
        return key.fingerprint or _fingerprint(key.public_key)
    except Ec2Error:
        # Was taken when nothing but its type was looked at.
        return _sha256(key.public_key)


def _stored(tx: Tx, call: Call, line: str, fingerprint: str) -> Members:
    name: str = call.given["KeyName"]
    if not 0 < len(name) <= MAX_NAME or not name.isascii() or not name.isprintable():
        raise Ec2Error("InvalidParameterValue", f"A key's name has 1 to {MAX_NAME} ASCII characters")
    tags = of_specifications(call.given.get("TagSpecifications", ()), "key-pair")
    key = KeyPair(
        id=call.context.ids.uuid(),
        name=name,
        public_key=line,
        tenant=call.tenant,
        fingerprint=fingerprint,
        created_at=tx.now(),
    )
    try:
        insert_key(tx, key)
    except TooManyKeys as error:
        raise Ec2Error("ResourceLimitExceeded", error.message) from error
    except Conflict as error:
        raise Ec2Error("InvalidKeyPair.Duplicate", f"The keypair '{name}' already exists.") from error
    put(tx, call.tenant, [key_pair_id(key.id)], tags)
    return {
        "KeyPairId": key_pair_id(key.id),
        "KeyName": name,
        "KeyFingerprint": fingerprint,
        "Tags": tag_set(tags),
    }


def _view(key: KeyPair, tags: TagsOf, public: bool) -> Members:
    return {
        "KeyPairId": key_pair_id(key.id),
        "KeyName": key.name,
        "KeyType": _TYPES.get(key.public_key.partition(" ")[0]),
        "KeyFingerprint": fingerprint_of(key),
        "CreateTime": key.created_at,
        "PublicKey": key.public_key if public else None,
        "Tags": tag_set(tags(key_pair_id(key.id))),
    }


def _fingerprint(line: str) -> str:
    """Of a key from elsewhere: of RSA, MD5 of the public key's DER; of others, SHA-256 as OpenSSH has it."""
    if line.startswith("ssh-rsa "):
        try:
            der = s.load_ssh_public_key(line.encode()).public_bytes(
                s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo
            )
        except (ValueError, UnsupportedAlgorithm) as error:
            raise Ec2Error("InvalidKey.Format", "Key is not in valid OpenSSH public key format") from error
        return _colons(hashlib.md5(der, usedforsecurity=False).hexdigest())
    return _sha256(line)


def _sha256(line: str) -> str:
    blob = base64.b64decode(line.split(" ")[1])
    return base64.b64encode(hashlib.sha256(blob).digest()).decode()


def _colons(digits: str) -> str:
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
