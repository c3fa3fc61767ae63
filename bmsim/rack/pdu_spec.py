"""PDUs of a rack file, and the outlets that nodes hang on."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from bmsim.devices.pdu_families import FAMILIES
from bmsim.rack.names import Name

IBOOT = "iboot"
"""In place of a family: one outlet over TCP."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known(family: str) -> str:
    if family not in FAMILIES and family != IBOOT:
        raise ValueError(f"there is no family {family}; there are: {', '.join(FAMILIES)}, {IBOOT}")
    return family


Secret = Annotated[SecretStr, Field(min_length=1, max_length=64)]
Passphrase = Annotated[SecretStr, Field(min_length=8, max_length=64)]  # RFC 3414 §11.2
Seconds = Annotated[float, Field(ge=0, le=3600)]


class SnmpUser(_Part):
    """SNMPv3."""

    name: Annotated[str, Field(min_length=1, max_length=32)]
    auth_protocol: Literal["MD5", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512"] = "SHA"
    auth_key: Passphrase
    priv_protocol: Literal["DES", "AES", "AES-192", "AES-256"] = "AES"
    priv_key: Passphrase | None = None


class Pdu(_Part):
    """It answers at its address: SNMP on port 161, HTTP on 80, a console on 23; an iBoot on 80 alone.

    password: of HTTP (as a bearer token), console and iBoot. answer_s: how long any answer takes.
    on_s, off_s: from a command until the relay has moved. sequence_s, restore: what outlets do when mains are
    back. traps_to: addresses that are told of changes.
    """

    name: Name
    family: Annotated[str, AfterValidator(_known)]
    address: IPv4Address
    outlets: Annotated[int, Field(ge=1, le=100)] = 8
    read_community: Secret = SecretStr("public")
    community: Secret = SecretStr("private")
    user: SnmpUser | None = None
    password: Secret = SecretStr("PASS")
    answer_s: Seconds = 0.0
    on_s: Seconds = 0.0
    off_s: Seconds = 0.0
    reboot_s: Seconds = 5.0
    sequence_s: Seconds = 0.0
    restore: Literal["last", "on", "off"] = "last"
    traps_to: tuple[IPv4Address, ...] = ()

    @model_validator(mode="after")
    def _has_no_more_outlets_than_its_family(self) -> Pdu:
        most = 1 if self.family == IBOOT else FAMILIES[self.family].outlets
        if self.outlets > most:
            raise ValueError(f"{self.outlets} outlets are more than the {most} of {self.family}")
        return self


class Feed(_Part):
    """One of a node's power supplies."""

    pdu: Name
    outlet: Annotated[int, Field(ge=1)]
