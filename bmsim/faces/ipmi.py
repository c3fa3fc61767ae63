"""A BMC on the wire: VirtualBMC's server over our model of what a BMC does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pyghmi.ipmi.private.session as client_session
from virtualbmc.vbmc import VirtualBMC

from bmsim.audit import AuditLog, Entry
from bmsim.devices.bmc import (
    APP,
    NODE_BUSY,
    OK,
    Act,
    Bmc,
    Reply,
    name_of,
    result_of,
)
from bmsim.faces.libvirt_machine import LibvirtMachine, MachineRefused
from bmsim.faces.rmcp import INSUFFICIENT_RESOURCES, StrictSession, is_open_session_request
from bmsim.faces.sol import SerialBridge
from bmsim.faults.bmc import ActiveFaults

MAX_SESSIONS = 16
IDLE_S = 60.0
"""§6.12.15: a session without a packet for this long is closed."""

SOL_POLL_S, IDLE_POLL_S = 0.02, 1.0

CHANGES = frozenset({(0x00, 0x02), (0x00, 0x08), (0x06, 0x02), (0x06, 0x03)})
SOL_ACTIVATE, SOL_DEACTIVATE = 0x48, 0x49
PAYLOAD_ALREADY_ACTIVE, PAYLOAD_NOT_ACTIVE = 0x80, 0x80


class BmcRestarts(Exception):
    """The BMC was told to restart: its process ends, and is started again."""


class IpmiFace(VirtualBMC):  # type: ignore[misc]
    """Answers at one address. `serve` runs it."""

    def __init__(
        self,
        *,
        node: str,
        address: str,
        port: int,
        user: str,
        password: str,
        libvirt_uri: str,
        domain: str,
        console: Path,
        audit: AuditLog,
        faults: ActiveFaults,
    ) -> None:
        super().__init__(user, password, port, address, domain, libvirt_uri)
        self._node = node
        self._bmc = Bmc()
        self._machine = LibvirtMachine(libvirt_uri, domain)
        self._console = console
        self._audit = audit
        self._faults = faults
        self._sessions: dict[StrictSession, float] = {}
        self._bridge: SerialBridge | None = None

    def serve(self) -> None:
        """For ever. Raises BmcRestarts. Malformed packets are dropped, as any BMC must survive them."""
        while True:
            try:
                client_session.Session.wait_for_rsp(SOL_POLL_S if self._bridge else IDLE_POLL_S)
                if self._bridge is not None:
                    self._bridge.pump()
            except BmcRestarts:
                raise
            except Exception as error:  # noqa: BLE001 - pyghmi's parser trusts the wire
                self._note("0.0.0.0:0", "malformed packet", {}, f"dropped: {type(error).__name__}")
            self._close_idle_sessions()

    # --- sessions -------------------------------------------------------------------------------

    def sessionless_data(self, data: Any, sockaddr: Any) -> None:
        if self._faults.get("bmc.silent") is not None:
            return
        if is_open_session_request(bytes(data)):
            StrictSession(self.authdata, self.kg, sockaddr, self.serversocket, data[16:], self.uuid, bmc=self)
            return
        super().sessionless_data(data, sockaddr)

    def open_status(self, sender: Any) -> int:
        """Called by a session that a client wants to open: 0, or the status to refuse it with."""
        exhausted = self._faults.get("bmc.sessions_exhausted") is not None
        if exhausted or len(self._sessions) >= MAX_SESSIONS:
            self._note(_text(sender), "session.open", {}, "0x01 insufficient resources")
            return INSUFFICIENT_RESOURCES
        if self._faults.get("bmc.wrong_credentials") is not None:
            self.authdata = _NobodyKnown()
        return 0

    def logged_in(self, session: StrictSession) -> None:
        self._sessions[session] = time.monotonic()
        self._note(_text(session.sockaddr), "session.open", {}, "ok")

    def login_failed(self, sender: Any, why: str) -> None:
        self._note(_text(sender), "session.open", {}, f"refused: {why}")

    def logged_out(self, session: StrictSession) -> None:
        self._sessions.pop(session, None)
        if self._bridge is not None and self._bridge.session is session:
            self._end_bridge()

    def _close_idle_sessions(self) -> None:
        now = time.monotonic()
        for session in [session for session, last in self._sessions.items() if now - last > IDLE_S]:
            self.logged_out(session)
            session.forget()

    # --- commands -------------------------------------------------------------------------------

    def handle_raw_request(self, request: Any, session: Any) -> None:
        """Every command of an open session comes here."""
        if self._faults.get("bmc.silent") is not None:
            return
        self._sessions[session] = time.monotonic()
        netfn, command, data = request["netfn"], request["command"], bytes(request["data"])
        name = name_of(netfn, command, data)
        sender = _text(session.sockaddr)
        if (netfn, command) == (APP, SOL_ACTIVATE):
            self._note(sender, name, {}, result_of(self._activate(session)))
            return
        reply = self._sol_ends(session) if (netfn, command) == (APP, SOL_DEACTIVATE) else None
        reply = reply or self._reply(netfn, command, data, name)
        self._note(sender, name, _arguments(netfn, command, data), result_of(reply.code))
        session.send_ipmi_response(data=list(reply.data), code=reply.code)
        if reply.act is Act.RESTART_BMC and reply.code == OK:
            raise BmcRestarts

    def _reply(self, netfn: int, command: int, data: bytes, name: str) -> Reply:
        if (netfn, command) in CHANGES and self._faults.strikes("bmc.busy", name):
            return Reply(NODE_BUSY)
        on = self._machine.is_on()
        told = not on if self._faults.get("bmc.lies_about_power") is not None else on
        status = (netfn, command) == (0x00, 0x01)
        now_s = time.monotonic()
        reply = self._bmc.receive(netfn, command, data, now_s=now_s, on=told if status else on)
        if (netfn, command) == (0x00, 0x08) and self._faults.strikes("bmc.boot_device_forgotten"):
            self._bmc.forget_flags()
        if reply.act is None or reply.act is Act.RESTART_BMC:
            return reply
        if self._faults.strikes("bmc.ack_not_done"):
            return Reply()
        try:
            if self._machine.do(reply.act, self._bmc.flags):
                self._bmc.machine_started()
        except MachineRefused as error:
            self._note("libvirt", name, {}, str(error))
            return Reply(0xFF)
        return Reply()

    # --- serial over LAN ------------------------------------------------------------------------

    def _activate(self, session: Any) -> int:
        if self._bridge is not None:
            session.send_ipmi_response(code=PAYLOAD_ALREADY_ACTIVE)
            return PAYLOAD_ALREADY_ACTIVE
        # §24.1: auxiliary data, largest payload in, largest out, UDP port, no VLAN
        size = (255).to_bytes(2, "little")
        answer = bytes(4) + size + size + int(self.port).to_bytes(2, "little") + b"\xff\xff"
        session.send_ipmi_response(data=list(answer))
        self._bridge = SerialBridge(session, self._console)
        return OK

    def _sol_ends(self, session: Any) -> Reply:
        if self._bridge is None:
            return Reply(PAYLOAD_NOT_ACTIVE)
        self._end_bridge()
        return Reply()

    def _end_bridge(self) -> None:
        bridge, self._bridge = self._bridge, None
        if bridge is not None:
            bridge.close()

    def _note(self, sender: str, command: str, arguments: dict[str, Any], result: str) -> None:
        self._audit.write(
            Entry(
                t=time.time(),
                node=self._node,
                device="bmc",
                sender=sender,
                command=command,
                args=arguments,
                result=result,
            )
        )


class _NobodyKnown(dict[str, str]):
    """Users of a BMC that refuses every login."""


def _text(sender: Any) -> str:
    return f"{str(sender[0]).removeprefix('::ffff:')}:{sender[1]}"


def _arguments(netfn: int, command: int, data: bytes) -> dict[str, Any]:
    if (netfn, command) == (0x00, 0x08) and data[:1] == b"\x05" and len(data) >= 3:
        names = {0: "none", 1: "network", 2: "disk", 5: "cdrom"}
        device = names.get(data[2] >> 2 & 0x0F, "unknown")
        return {"device": device, "persistent": bool(data[1] & 0x40), "uefi": bool(data[1] & 0x20)}
    return {"data": data.hex()} if data and (netfn, command) != (0x00, 0x02) else {}
