"""Who asks a PDU: a community, or an SNMPv3 user with keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from provisioner.core.errors import InvalidInput

Version = Literal["1", "2c", "3"]
AuthProtocol = Literal["MD5", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512"]
PrivProtocol = Literal["DES", "AES", "AES-192", "AES-256", "AES-192-C", "AES-256-C"]

LONGEST_USER_BYTES = 32
"""RFC 3414 §5, usmUserName."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """community: for reading, and for writing unless `write_community` is given.
    auth_key, priv_key: passphrases (RFC 3414 §2.6); empty: without authentication, or privacy."""

    version: Version = "2c"
    community: str = field(default="", repr=False)
    write_community: str = field(default="", repr=False)
    user: str = ""
    auth_protocol: AuthProtocol = "SHA"
    auth_key: str = field(default="", repr=False)
    priv_protocol: PrivProtocol = "AES"
    priv_key: str = field(default="", repr=False)

    @classmethod
    def parse(cls, address: Mapping[str, object], secret: Mapping[str, str]) -> Credentials:
        """Raises InvalidInput."""
        version = str(address.get("version", "2c"))
        tried = f"ask a PDU by SNMP version {version}"
        if version == "3" and not address.get("user"):
            raise InvalidInput(tried, field="power.user", answer="it is missing")
        if version == "3" and len(str(address["user"]).encode()) > LONGEST_USER_BYTES:
            answer = f"it has more than {LONGEST_USER_BYTES} bytes in UTF-8"
            raise InvalidInput(tried, field="power.user", answer=answer)
        if version != "3" and not secret.get("community"):
            raise InvalidInput(tried, field="power.community", answer="it is missing")
        if secret.get("priv_key") and not secret.get("auth_key"):
            raise InvalidInput(tried, field="power.auth_key", answer="there is no privacy without it")
        given = {
            name: str(address[name])
            for name in ("version", "user", "auth_protocol", "priv_protocol")
            if address.get(name) is not None
        }
        return cls(**given, **secret)  # type: ignore[arg-type]  # checked where node files are read

    def __str__(self) -> str:
        return f"SNMPv3 user {self.user}" if self.version == "3" else f"SNMP version {self.version}"
