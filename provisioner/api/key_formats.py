"""Public keys as other programs write them, as the line that OpenSSH has of them."""

from __future__ import annotations

import base64
import binascii
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as s

_SSH2 = re.compile(r"\s*-{4} BEGIN SSH2 PUBLIC KEY -{4}\r?\n(.*?)-{4} END SSH2 PUBLIC KEY -{4}\s*", re.DOTALL)
_HEADER = re.compile(r"^[^\s:]{1,64}:(?:.*\\\r?\n)*.*\r?\n", re.MULTILINE)
"""Goes on in the next line while one ends in a backslash. Source: RFC 4716 §3.3"""

_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")


def openssh_line(text: str) -> str:
    """Of a key by RFC 4716, or of DER in base64; any other text as it is."""
    if found := _SSH2.fullmatch(text):
        return _of_blob("".join(_HEADER.sub("", found[1]).split())) or text
    if _BASE64.fullmatch(text):
        return _of_der("".join(text.split())) or text
    return text


def _of_blob(encoded: str) -> str:
    """Empty: it is none."""
    try:
        blob = base64.b64decode(encoded, validate=True)
        # RFC 4253 §6.6: it begins with its type, after that one's length.
        kind = blob[4 : 4 + int.from_bytes(blob[:4])].decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return f"{kind} {encoded}"


def _of_der(encoded: str) -> str:
    try:
        key = s.load_der_public_key(base64.b64decode(encoded, validate=True))
        return key.public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH).decode("ascii")
    except (binascii.Error, ValueError, TypeError, UnsupportedAlgorithm):
        return ""
