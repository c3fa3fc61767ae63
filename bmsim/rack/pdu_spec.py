"""PDUs of a rack file, and the outlets that nodes hang on."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from bmsim.devices.pdu_families import FAMILIES
from bmsim.rack.names import Name
from bmsim.rack.part import Part

IBOOT = "iboot"
"""In place of a family: one outlet over TCP."""


def _known(family: str) -> str:
    if family not in FAMILIES and family != IBOOT:
        raise ValueError(f"there is no family {family}; there are: {', '.join(FAMILIES)}, {IBOOT}")
    return family


def _user(name: str) -> str:
    # RFC 3414 §5, usmUserName
    if len(name.encode()) > 32:
        raise ValueError("it has more than 32 bytes in UTF-8")
    return name


Secret = Annotated[SecretStr, Field(min_length=1, max_length=64)]
Passphrase = Annotated[SecretStr, Field(min_length=8, max_length=64)]  # RFC 3414 §11.2
Seconds = Annotated[float, Field(ge=0, le=3600)]


def _told(default: str, description: str) -> Any:
    """Of a made-up secret: its default may be read by all."""
    return Field(description=description, json_schema_extra={"default": default})


class SnmpUser(Part):
    """SNMPv3."""

    name: Annotated[
        str, AfterValidator(_user), Field(min_length=1, max_length=32, description="32 bytes at most.")
    ]
    auth_protocol: Annotated[
        Literal["MD5", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512"],
        Field(description="How messages are authenticated."),
    ] = "SHA"
    auth_key: Annotated[Passphrase, Field(description="8 to 64 characters.")]
    priv_protocol: Annotated[
        Literal["DES", "AES", "AES-192", "AES-256", "AES-192-C", "AES-256-C"],
        Field(description="How they are encrypted; -C: with keys as Cisco makes them."),
    ] = "AES"
    priv_key: Annotated[
        Passphrase | None, Field(description="8 to 64 characters; without one, they are not.")
    ] = None


class Pdu(Part):
    name: Annotated[Name, Field(description="Another than any other PDU's.")]
    family: Annotated[
        str,
        AfterValidator(_known),
        Field(description=f"What it is: {', '.join(f'`{name}`' for name in (*FAMILIES, IBOOT))}."),
    ]
    address: Annotated[
        IPv4Address,
        Field(
            description="On the management network: SNMP on port 161, HTTP on 80, a console on 23;"
            " an iBoot on 80 alone."
        ),
    ]
    outlets: Annotated[int, Field(ge=1, le=100, description="No more than its family has.")] = 8
    units: Annotated[
        int,
        Field(
            ge=1,
            le=8,
            description="In a chain behind its address, of families that have chains; each has `outlets`, and"
            " these are counted through: of 8 in each, the second unit's first is 9.",
        ),
    ] = 1
    read_community: Annotated[Secret, _told("public", "Of SNMP versions 1 and 2c, to read.")] = SecretStr(
        "public"
    )
    community: Annotated[Secret, _told("private", "To read and to switch.")] = SecretStr("private")
    user: Annotated[SnmpUser | None, Field(description="Of SNMPv3; the communities are heard as well.")] = (
        None
    )
    password: Annotated[
        Secret, _told("PASS", "Of HTTP (as a bearer token), of the console and of an iBoot.")
    ] = SecretStr("PASS")
    answer_s: Annotated[Seconds, Field(description="How long any answer takes.")] = 0.0
    on_s: Annotated[Seconds, Field(description="From the command until the relay has moved.")] = 0.0
    off_s: Annotated[Seconds, Field(description="The same, off.")] = 0.0
    reboot_s: Annotated[Seconds, Field(description="How long a reboot leaves the outlet off.")] = 5.0
    sequence_s: Annotated[
        Seconds, Field(description="How far apart outlets come back when mains are back.")
    ] = 0.0
    restore: Annotated[
        Literal["last", "on", "off"], Field(description="What outlets are when mains are back.")
    ] = "last"
    traps_to: Annotated[
        tuple[IPv4Address, ...], Field(description="Who is told of each change of an outlet.")
    ] = ()

    @model_validator(mode="after")
    def _has_no_more_outlets_than_its_family(self) -> Pdu:
        most = 1 if self.family == IBOOT else FAMILIES[self.family].outlets
        if self.outlets > most:
            raise ValueError(f"{self.outlets} outlets are more than the {most} of {self.family}")
        return self

    @model_validator(mode="after")
    def _has_no_longer_chain_than_its_family(self) -> Pdu:
        most = 1 if self.family == IBOOT else FAMILIES[self.family].units
        if self.units > most:
            raise ValueError(f"{self.units} units are more than the {most} of {self.family}")
        return self

    @property
    def numbers(self) -> range:
        """Of the outlets of all its units."""
        return range(1, self.units * self.outlets + 1)


class Feed(Part):
    """One of a node's power supplies."""

    pdu: Annotated[Name, Field(description="Which of `pdus`.")]
    outlet: Annotated[
        int, Field(ge=1, description="One that feeds nothing else; of a chain, as it counts them.")
    ]
