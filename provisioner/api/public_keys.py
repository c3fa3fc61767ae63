"""What is taken as an OpenSSH public key."""

from __future__ import annotations

import base64
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from provisioner.api.key_formats import openssh_line
from provisioner.core.errors import InvalidInput

KEY_TYPES = re.compile(
    r"(ssh-(rsa|ed25519)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)$"
)

MAX_LINE_BYTES = 16384
RSA_BITS = range(1024, 16385)
"""As OpenSSH has them: a smaller one opens no door, a larger one isn't made by ssh-keygen."""


def checked_key(text: str, field: str) -> str:
    """An OpenSSH public key, as one line; by RFC 4716 or as DER in base64 too. Raises InvalidInput."""
    line = " ".join(openssh_line(text).split())
    fault = _fault(text, line)
    if not fault:
        return line
    raise InvalidInput(
        "use the public key",
        field=field,
        answer=fault,
        advice="Give the content of a file like id_ed25519.pub",
    )


def _fault(text: str, line: str) -> str:
    """Empty: there is none. Nothing of the text, which may be a secret."""
    if "PRIVATE KEY" in text:
        return "it is a private key"
    if len(line.encode()) > MAX_LINE_BYTES:
        return f"it has more than {MAX_LINE_BYTES} bytes"
    if line == " ".join(text.split()) and len(text.strip().splitlines()) > 1:
        return "it has several lines, and a key is one"
    kind, _, rest = line.partition(" ")
    if not rest or not KEY_TYPES.match(kind):
        return "it doesn't begin with a key type such as ssh-ed25519"
    try:
        blob = base64.b64decode(rest.partition(" ")[0], validate=True)
    except ValueError:  # of letters beyond ASCII too
        return "its second word isn't base64"
    # RFC 4253 §6.6: the blob begins with its own type.
    if blob[4 : 4 + len(kind)] != kind.encode():
        return "its type and its content differ"
    if kind == "ssh-rsa" and (fault := _rsa_fault(blob)):
        return fault
    return "" if _can_be_read(line) else "its content isn't a key of its type"


def _can_be_read(line: str) -> bool:
    """By OpenSSH too: a machine that has one that can't isn't logged in to by it."""
    try:
        load_ssh_public_key(" ".join(line.split(" ")[:2]).encode("ascii"))
    except (ValueError, NotImplementedError, UnsupportedAlgorithm):
        return False
    return True


def _rsa_fault(blob: bytes) -> str:
    """RFC 4253 §6.6: its type, the exponent and the modulus, each after its length in four bytes."""
    parts = []
    while blob:
        size = int.from_bytes(blob[:4])
        parts.append(blob[4 : 4 + size])
        if len(parts[-1]) < size or len(parts) > 3:
            break
        blob = blob[4 + size :]
    if blob or len(parts) != 3:
        return "its content isn't a key of its type"
    bits = int.from_bytes(parts[2]).bit_length()
    if bits not in RSA_BITS:
        return f"it has {bits} bits, and an RSA key has {RSA_BITS[0]} to {RSA_BITS[-1]} here"
    return ""
