"""One SNMP message and its answer, by pysnmp: v1, v2c and v3 with authentication and privacy."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from math import ceil
from typing import Any, Protocol

from pyasn1.type import univ
from pysnmp.error import PySnmpError
from pysnmp.hlapi.v3arch import asyncio as snmp
from pysnmp.proto import errind
from pysnmp.proto.rfc1905 import EndOfMibView, NoSuchInstance, NoSuchObject

from provisioner.core.errors import (
    DeviceBusy,
    DeviceRefused,
    DeviceUnreachable,
    ProvisionerError,
    WrongCredentials,
)
from provisioner.core.pdu_pace import MESSAGE_S
from provisioner.core.pdus.family import Oid
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_engines import SnmpEngines
from provisioner.drivers.snmp_requests import TOLD_TOO_LATE, Get, Set, request

TIMEOUTS_S = 0.5
"""pysnmp remembers each timeout that an agent was ever asked with, and looks at its clock twice a second."""

Value = int | Oid
"""INTEGER or OBJECT IDENTIFIER: what PDUs' objects are, as far as we look."""

AUTH = {
    "MD5": snmp.USM_AUTH_HMAC96_MD5,
    "SHA": snmp.USM_AUTH_HMAC96_SHA,
    "SHA-224": snmp.USM_AUTH_HMAC128_SHA224,
    "SHA-256": snmp.USM_AUTH_HMAC192_SHA256,
    "SHA-384": snmp.USM_AUTH_HMAC256_SHA384,
    "SHA-512": snmp.USM_AUTH_HMAC384_SHA512,
}
PRIV = {
    "DES": snmp.USM_PRIV_CBC56_DES,
    "AES": snmp.USM_PRIV_CFB128_AES,
    "AES-192": snmp.USM_PRIV_CFB192_AES_BLUMENTHAL,
    "AES-256": snmp.USM_PRIV_CFB256_AES_BLUMENTHAL,
    "AES-192-C": snmp.USM_PRIV_CFB192_AES,
    "AES-256-C": snmp.USM_PRIV_CFB256_AES,
}
"""By the names of net-snmp's tools. No standard has the longer keys of AES: net-snmp makes them by
draft-blumenthal-aes-usm-04, Cisco (-C) by draft-reeder-snmpv3-usm-3desede-00."""

REFUSED_USER = (
    errind.unknownUserName,
    errind.unknownSecurityName,
    errind.unsupportedSecurityLevel,
    errind.authenticationFailure,
    errind.authenticationError,
    errind.wrongDigest,
    errind.decryptionError,
)
"""RFC 3414 §3.2: reports that an SNMPv3 agent sends in place of an answer."""

_RELAY = "If it goes on, look at the outlet, its lamp and relay, and at the PDU's event log"
BUSY = {
    "genErr": "If it goes on, look at the PDU's event log, and check power.family and power.outlets",
    "resourceUnavailable": "If it goes on, restart the PDU's network card, or have it asked less often",
    "inconsistentValue": "If it goes on, look whether the PDU locks the outlet, or is switching it",
    "commitFailed": _RELAY,
    "undoFailed": _RELAY,
    "tooBig": "Give the node's outlets as power.feeds: those of one feed are asked for in one message",
}
"""What may pass (RFC 3416 §4.2.5: inconsistentValue could be written under other circumstances), and what to
do when it doesn't."""
NO_ACCESS = ("noAccess", "authorizationError", "notWritable", "readOnly")
NO_OBJECT = ("noSuchName", "noCreation", "inconsistentName")
"""RFC 3416 §3. Version 1 says noSuchName of what may not be written too (RFC 1157 §4.1.5)."""


@dataclass(frozen=True, slots=True)
class Agent:
    """The SNMP agent of one PDU. name: for messages."""

    name: str
    host: str
    port: int


class Messages(Protocol):
    """Raise DeviceUnreachable (no answer in `timeout_s`), DeviceBusy, DeviceRefused, WrongCredentials; name
    the agent. When cancelled, nothing is sent any more.

    A message is sent once: what is lost is asked again by whoever asked, and a PDU that is slow isn't asked
    twice for one thing."""

    async def get(
        self,
        tried: str,
        agent: Agent,
        credentials: Credentials,
        oids: Sequence[Oid],
        *,
        timeout_s: float = MESSAGE_S,
    ) -> list[Value]:
        """As many values as OIDs. Raises DeviceRefused when one of them is missing."""
        ...

    async def set(
        self,
        tried: str,
        agent: Agent,
        credentials: Credentials,
        oid: Oid,
        value: int,
        *,
        timeout_s: float = MESSAGE_S,
    ) -> None: ...


class PysnmpMessages:
    """`Messages`. `close` ends its engines and sockets."""

    def __init__(self) -> None:
        self._engines = SnmpEngines()

    def close(self) -> None:
        """Idempotent."""
        self._engines.close()

    async def get(
        self,
        tried: str,
        agent: Agent,
        credentials: Credentials,
        oids: Sequence[Oid],
        *,
        timeout_s: float = MESSAGE_S,
    ) -> list[Value]:
        objects = [snmp.ObjectType(snmp.ObjectIdentity(oid)) for oid in oids]
        found = await self._ask(Get, tried, agent, credentials, objects, timeout_s, write=False)
        # By their names: one that is left out or told for another outlet must not pass for the next.
        return [_value(tried, agent, oid, found.get(oid)) for oid in oids]

    async def set(
        self,
        tried: str,
        agent: Agent,
        credentials: Credentials,
        oid: Oid,
        value: int,
        *,
        timeout_s: float = MESSAGE_S,
    ) -> None:
        objects = [snmp.ObjectType(snmp.ObjectIdentity(oid), snmp.Integer32(value))]
        await self._ask(Set, tried, agent, credentials, objects, timeout_s, write=True)

    async def _ask(
        self,
        kind: type[Get | Set],
        tried: str,
        agent: Agent,
        credentials: Credentials,
        objects: Sequence[Any],
        timeout_s: float,
        *,
        write: bool,
    ) -> dict[Oid, object]:
        until_s = asyncio.get_running_loop().time() + timeout_s
        timeout_s = waited_s(timeout_s)
        try:
            by = snmp.Udp6TransportTarget if await _by_ipv6(agent) else snmp.UdpTransportTarget
            target = await by.create((agent.host, agent.port), timeout=timeout_s, retries=0)
            auth = _auth_data(credentials, write=write)
            with self._engines.lent(credentials) as lent:
                error, status, found = await request(
                    kind, lent.engine, auth, target, objects, until_s=until_s
                )
                if credentials.version == "3":
                    (lent.answered if error is None or error is TOLD_TOO_LATE else lent.silent)(agent)
        except (PySnmpError, OSError) as problem:
            raise DeviceUnreachable(
                tried, device=agent.name, answer=str(problem), advice="Check power.address"
            ) from problem
        if error is TOLD_TOO_LATE:
            advice = "If it goes on, raise power.snmp_timeout_s"
            raise DeviceBusy(tried, device=agent.name, answer=TOLD_TOO_LATE, advice=advice)
        if error is not None:
            raise _failed(tried, agent, credentials, error, timeout_s)
        if status:
            raise _refused(tried, agent, status.prettyPrint(), write=write)
        return {tuple(name): value for name, value in found}


def waited_s(timeout_s: float) -> float:
    """How long an answer is waited for in truth."""
    return TIMEOUTS_S * ceil(timeout_s / TIMEOUTS_S)


def no_answer(tried: str, agent: Agent, credentials: Credentials, timeout_s: float) -> DeviceUnreachable:
    advice = advice_on_silence(credentials)
    return DeviceUnreachable(tried, device=agent.name, answer=f"no answer in {timeout_s:g} s", advice=advice)


def advice_on_silence(credentials: Credentials) -> str:
    advice = "Look at its power and its network"
    if credentials.version != "3":
        advice += ", and check the community: a wrong one is not answered at all"
    elif credentials.priv_key:
        # By a wrong key it decrypts to nonsense, which agents drop (RFC 3412 §7.2, 2: snmpInASNParseErrs).
        advice += ", and check priv_key and priv_protocol: what can't be decrypted may not be answered at all"
    return advice


async def _by_ipv6(agent: Agent) -> bool:
    """Of a name with addresses of both kinds the older one is taken, as PDUs know that. Raises OSError."""
    try:
        return ip_address(agent.host).version == 6
    except ValueError:  # a name
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(agent.host, agent.port, type=socket.SOCK_DGRAM)
    return all(family == socket.AF_INET6 for family, *_ in found)


def _auth_data(credentials: Credentials, *, write: bool) -> snmp.CommunityData | snmp.UsmUserData:
    """Words as the bytes of UTF-8, as net-snmp's tools and web pages of PDUs make them of what is typed: of
    text, pysnmp makes Latin-1."""
    if credentials.version == "3":
        return snmp.UsmUserData(
            credentials.user.encode(),
            authKey=credentials.auth_key.encode() or None,
            privKey=credentials.priv_key.encode() or None,
            authProtocol=AUTH[credentials.auth_protocol] if credentials.auth_key else snmp.USM_AUTH_NONE,
            privProtocol=PRIV[credentials.priv_protocol] if credentials.priv_key else snmp.USM_PRIV_NONE,
        )
    community = (write and credentials.write_community) or credentials.community
    return snmp.CommunityData(community.encode(), mpModel=0 if credentials.version == "1" else 1)


def _value(tried: str, agent: Agent, oid: Oid, value: object) -> Value:
    """value: None: the answer doesn't have it."""
    if value is None:
        raise _refused(tried, agent, f"its answer leaves {_text(oid)} out", write=False)
    if isinstance(value, NoSuchObject | NoSuchInstance | EndOfMibView):
        raise _refused(tried, agent, f"it has no object {_text(oid)}", write=False)
    if isinstance(value, univ.ObjectIdentifier):
        return tuple(value)
    if isinstance(value, univ.Integer):
        return int(value)
    raise DeviceRefused(
        tried, device=agent.name, answer=f"{_text(oid)} is no number", advice="Check power.family"
    )


def _failed(
    tried: str, agent: Agent, credentials: Credentials, error: object, timeout_s: float
) -> ProvisionerError:
    if isinstance(error, errind.RequestTimedOut):
        return no_answer(tried, agent, credentials, timeout_s)
    if any(error is known or type(error) is type(known) for known in REFUSED_USER):
        return WrongCredentials(
            tried,
            device=agent.name,
            answer=str(error),
            advice="Check user, auth_key, priv_key and their protocols",
        )
    return DeviceUnreachable(tried, device=agent.name, answer=str(error), advice="Check power.version")


def _refused(tried: str, agent: Agent, answer: str, *, write: bool) -> ProvisionerError:
    if answer in BUSY:
        return DeviceBusy(tried, device=agent.name, answer=answer, advice=BUSY[answer])
    if answer in NO_ACCESS:
        advice = "Its user or community may read only: allow it to write, or give write_community"
    else:
        advice = "Check power.family, power.outlets and power.unit"
        if write and answer in NO_OBJECT:
            advice += "; version 1 says so too when the community may read only"
    return DeviceRefused(tried, device=agent.name, answer=answer, advice=advice)


def _text(oid: Oid) -> str:
    return ".".join(map(str, oid))
