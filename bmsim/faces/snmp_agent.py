"""A PDU's SNMP agent: pysnmp's engine over the objects of the model. Versions 1, 2c, and 3 by USM."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pyasn1.type import univ
from pysnmp.carrier.asyncio.dgram import udp
from pysnmp.entity import config
from pysnmp.entity.engine import SnmpEngine
from pysnmp.entity.rfc3413 import cmdrsp, context
from pysnmp.error import PySnmpError
from pysnmp.hlapi.v3arch import asyncio as hlapi
from pysnmp.proto import rfc1902, rfc1905
from pysnmp.smi import error as smi_error
from pysnmp.smi.instrum import AbstractMibInstrumController

from bmsim.devices.pdu_mib import (
    SYS_OBJECT_ID,
    SYS_UP_TIME,
    NoObject,
    NotWritable,
    Oid,
    PduMib,
    TimeTicks,
    Value,
    WrongType,
    WrongValue,
)
from bmsim.faces.pdu_device import PduDevice

EVERYTHING = (1, 3, 6)

TRAP_PORT = 162

AUTH = {
    "MD5": config.USM_AUTH_HMAC96_MD5,
    "SHA": config.USM_AUTH_HMAC96_SHA,
    "SHA-224": config.USM_AUTH_HMAC128_SHA224,
    "SHA-256": config.USM_AUTH_HMAC192_SHA256,
    "SHA-384": config.USM_AUTH_HMAC256_SHA384,
    "SHA-512": config.USM_AUTH_HMAC384_SHA512,
}
PRIV = {
    "DES": config.USM_PRIV_CBC56_DES,
    "AES": config.USM_PRIV_CFB128_AES,
    "AES-192": config.USM_PRIV_CFB192_AES_BLUMENTHAL,
    "AES-256": config.USM_PRIV_CFB256_AES_BLUMENTHAL,
    "AES-192-C": config.USM_PRIV_CFB192_AES,
    "AES-256-C": config.USM_PRIV_CFB256_AES,
}
"""By the names of net-snmp's tools. No standard has the longer keys of AES: net-snmp makes them by
draft-blumenthal-aes-usm-04, Cisco (-C) by draft-reeder-snmpv3-usm-3desede-00."""

USM = 3
"""The security model of version 3's users (RFC 3411 §5)."""

READER, WRITER = "reader", "writer"
"""What communities are called inside; version 3 users by their own names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnmpConfig:
    """traps_to: addresses that are told of outlets that change, on port 162 unless they name another."""

    address: str
    port: int = 161
    read_community: str = field(default="public", repr=False)
    community: str = field(default="private", repr=False)
    user: str = ""
    auth_protocol: str = "SHA"
    auth_key: str = field(default="", repr=False)
    priv_protocol: str = "AES"
    priv_key: str = field(default="", repr=False)
    traps_to: Sequence[str] = ()


class SnmpAgent:
    """Listens from when it is made, inside a running event loop, until `close`. `ready` is when it does."""

    def __init__(self, given: SnmpConfig, device: PduDevice, mib: PduMib) -> None:
        self._config = given
        self._device = device
        self._mib = mib
        self._changes: asyncio.Queue[list[tuple[Oid, Any]]] = asyncio.Queue()
        self._trapping: asyncio.Task[None] | None = None
        self.engine = SnmpEngine(rfc1902.OctetString(_engine_id(device.config.name)))
        self._transport = _GatedTransport(device).open_server_mode((given.address, given.port))
        config.add_transport(self.engine, udp.DOMAIN_NAME, self._transport)
        self._let_in()
        served = context.SnmpContext(self.engine)
        served.unregister_context_name(b"")
        served.register_context_name(b"", _Objects(self, mib, device))
        for responder in (
            cmdrsp.GetCommandResponder,
            cmdrsp.NextCommandResponder,
            cmdrsp.BulkCommandResponder,
            cmdrsp.SetCommandResponder,
        ):
            responder(self.engine, served)
        if given.traps_to:
            self._trapping = asyncio.create_task(self._send_traps())
            device.listeners.append(self._trap)

    async def ready(self) -> None:
        """Raises OSError when it can't listen."""
        await self._transport._lport

    def close(self) -> None:
        if self._trapping is not None:
            self._trapping.cancel()
        self.engine.close_dispatcher()

    def request(self) -> tuple[str, bool]:
        """Who sent the request that is being served, and whether it may write."""
        known = self.engine.observer.get_execution_context("rfc3412.receiveMessage:request")
        address, port = known["transportAddress"][:2]
        by_community = known["securityModel"] != USM
        return f"{address}:{port}", not (by_community and str(known["securityName"]) == READER)

    def _let_in(self) -> None:
        given, engine = self._config, self.engine
        for name, community in ((READER, given.read_community), (WRITER, given.community)):
            config.add_v1_system(engine, name, community.encode())  # UTF-8, as net-snmp's tools send it
            for model in (1, 2):
                config.add_vacm_user(engine, model, name, "noAuthNoPriv", EVERYTHING, EVERYTHING)
        if given.user:
            auth = AUTH[given.auth_protocol] if given.auth_key else config.USM_AUTH_NONE
            priv = PRIV[given.priv_protocol] if given.priv_key else config.USM_PRIV_NONE
            user = given.user.encode()
            keys = (given.auth_key.encode() or None, priv, given.priv_key.encode() or None)
            config.add_v3_user(engine, user, auth, *keys)
            level = "authPriv" if given.priv_key else "authNoPriv" if given.auth_key else "noAuthNoPriv"
            config.add_vacm_user(engine, USM, user, level, EVERYTHING, EVERYTHING)

    def _trap(self, outlet: int) -> None:
        """Tells that an outlet has changed: the object of its state, and what it is now."""
        now_s = self._device.now_s()
        # RFC 3416 §4.2.6: sysUpTime comes first. pysnmp puts it there; where none is given, one of its own,
        # by the system's clock since its MIB was loaded.
        told = (SYS_UP_TIME, self._mib.state_object(outlet))
        self._changes.put_nowait([(oid, _encoded(self._mib.get(oid, now_s))) for oid in told])

    async def _send_traps(self) -> None:
        """One after the other, as the outlets changed: the order is a part of what is told."""
        while True:
            objects = await self._changes.get()
            for receiver in self._config.traps_to:
                try:
                    await self._send_trap(receiver, objects)
                except PySnmpError as error:
                    print(f"no trap to {receiver}: {error}", file=sys.stderr, flush=True)

    async def _send_trap(self, receiver: str, objects: Sequence[tuple[Oid, Any]]) -> None:
        host, _, port = receiver.partition(":")
        target = await hlapi.UdpTransportTarget.create((host, int(port or TRAP_PORT)))
        if not self._device.pdu.mains:
            return
        kind = (*self._mib.get(SYS_OBJECT_ID, 0.0), 0, 1)  # type: ignore[misc]
        await hlapi.send_notification(
            self.engine,
            hlapi.CommunityData(self._config.read_community.encode(), mpModel=1),
            target,
            hlapi.ContextData(),
            "trap",
            hlapi.NotificationType(hlapi.ObjectIdentity(kind)).add_varbinds(*objects),
            lookupMib=False,
        )


class _GatedTransport(udp.UdpTransport):  # type: ignore[misc]
    """Messages pass when the PDU is ready for them, or not at all."""

    def __init__(self, device: PduDevice) -> None:
        super().__init__()
        self._device = device

    def datagram_received(self, datagram: bytes, transportAddress: Any) -> None:
        delay_s = self._device.answer_delay_s()
        if delay_s is not None:
            self.loop.call_later(delay_s, self._pass, datagram, transportAddress)

    def _pass(self, datagram: bytes, address: Any) -> None:
        if self._device.served():
            super().datagram_received(datagram, address)


class _Objects(AbstractMibInstrumController):  # type: ignore[misc]
    """What pysnmp's responders ask. May read and write by our own rule: VACM lets all in who are known."""

    def __init__(self, agent: SnmpAgent, mib: PduMib, device: PduDevice) -> None:
        self._agent = agent
        self._mib = mib
        self._device = device

    def read_variables(self, *asked: Any, **context: Any) -> list[tuple[Any, Any]]:
        sender, _ = self._agent.request()
        self._device.note(0, "snmp.get", sender, objects=len(asked))
        return [(name, self._read(tuple(name))) for name, _ in asked]

    def read_next_variables(self, *asked: Any, **context: Any) -> list[tuple[Any, Any]]:
        found = []
        for name, _ in asked:
            oid = self._mib.following(tuple(name))
            if oid is None:
                found.append((name, rfc1905.endOfMibView))
            else:
                found.append((rfc1902.ObjectName(oid), self._read(oid)))
        return found

    def write_variables(self, *asked: Any, **context: Any) -> list[tuple[Any, Any]]:
        """All or nothing, as far as what is wrong with them can be seen at once (RFC 3416 §4.2.5)."""
        sender, may_write = self._agent.request()
        orders = []
        for index, (name, value) in enumerate(asked):
            oid = tuple(name)
            problem = None
            try:
                orders.append(self._mib.command(oid, _decoded(value)))
            except NoObject:
                problem = smi_error.NoCreationError
            except NotWritable:
                problem = smi_error.NotWritableError
            except WrongType:
                problem = smi_error.WrongTypeError
            except WrongValue:
                problem = smi_error.WrongValueError
            if not may_write:
                problem = smi_error.NoAccessError
            if problem is not None:
                text = ".".join(map(str, oid))
                self._device.note(0, "snmp.set", sender, result=problem.__name__, object=text)
                raise problem(name=name, idx=index)
        for outlet, order, delay_s in orders:
            self._device.order(outlet, order, sender, delay_s=delay_s)
        return list(asked)

    def _read(self, oid: Oid) -> Any:
        try:
            return _encoded(self._mib.get(oid, self._device.now_s()))
        except NoObject:
            return rfc1905.noSuchInstance


def _encoded(value: Value) -> Any:
    if isinstance(value, int):
        return (rfc1902.TimeTicks if isinstance(value, TimeTicks) else rfc1902.Integer32)(value)
    return rfc1902.OctetString(value) if isinstance(value, str) else rfc1902.ObjectIdentifier(value)


def _decoded(value: Any) -> object:
    """None: anything but an INTEGER. A Gauge32 is a number too, and real agents refuse it."""
    return int(value) if value.tagSet == univ.Integer.tagSet else None


def _engine_id(name: str) -> bytes:
    """RFC 3411 §5: our enterprise number (RFC 5612's for examples, 32473), and a text of our choice."""
    return (32473 | 1 << 31).to_bytes(4, "big") + b"\x04" + name.encode()[:27]
