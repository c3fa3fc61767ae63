"""A BMC on the wire: VirtualBMC's server over our model of what a BMC does.

Of VirtualBMC and the server of pyghmi that it is made of: the socket, the answers to what is asked before
a session, the packets of sessions. What they lack is overridden: sessions by number, more than one cipher
suite, refusals of a login, all commands, serial over LAN.
"""

from __future__ import annotations

import os
import struct
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyghmi.ipmi.private.session as pyghmi_session
from virtualbmc.vbmc import VirtualBMC

from bmsim.audit import AuditLog, Entry
from bmsim.devices import ipmi_codes as ipmi
from bmsim.devices.bmc import Act, BmcState, Identity, Request
from bmsim.faces.control import Control, Machine
from bmsim.faces.packets import LOGIN, OPEN_SESSION, OPEN_SESSION_RESPONSE, addressed, outside_session
from bmsim.faces.rmcp import (
    INSUFFICIENT_RESOURCES,
    INVALID_SESSION,
    Stage,
    StrictSession,
    cipher_suites,
)
from bmsim.faces.serial_console import SerialConsole
from bmsim.faces.sessions import Sessions, forget_in_pyghmi
from bmsim.faces.sol import SolPayload
from bmsim.faults.fault_file import FaultFile

RESTART_S = 5.0
"""How long the BMC is silent after `mc reset`; real ones need a minute or more."""

UNFORESEEN = (IndexError, KeyError, TypeError, AttributeError, struct.error)
"""What pyghmi's parsers raise at packets, all of which they trust. A BMC survives any packet."""

NODES = uuid.UUID("6f1c2f3a-31c5-4d0e-9d52-0a3f5f1f4c11")
"""Name space of the BMCs' GUIDs: one stays the same when its process is another."""


@dataclass(frozen=True, slots=True)
class BmcConfig:
    node: str
    address: str
    port: int
    user: str
    password: str = field(repr=False)


class IpmiFace(VirtualBMC):  # type: ignore[misc]
    """Whoever owns it calls `receive` for each packet on `serversocket`, and `tick` now and then."""

    def __init__(
        self,
        config: BmcConfig,
        machine: Machine,
        *,
        console: Callable[[], SerialConsole],
        audit: AuditLog,
        faults: FaultFile,
    ) -> None:
        _keep_pyghmi_from_reading()
        super().__init__(config.user, config.password, config.port, config.address, config.node, None)
        # §20.8: least significant byte first
        self._guid = uuid.uuid5(NODES, config.node).bytes[::-1]
        self._node = config.node
        self._open_console = console
        self._audit = audit
        self._fault_file = faults
        self._sessions = Sessions()
        self._sol: SolPayload | None = None
        self._struck: dict[str, int] = {}
        self._control = Control(machine, BmcState(Identity(guid=self._guid, port=config.port)))

    @property
    def listens_to_console(self) -> bool:
        return self._sol is not None

    def receive(self, packet: bytes, sender: Any) -> None:
        """One packet. What isn't IPMI is dropped; what pretends to be is dropped and noted."""
        now_s = time.monotonic()
        self._look_at_faults(now_s)
        if self._control.faults.silent(now_s):
            self._note_strikes(sender)
            return
        try:
            self._dispatch(packet, sender, now_s)
        except (ValueError, *UNFORESEEN) as error:
            if not isinstance(error, ValueError):
                traceback.print_exc()
            self._note(sender, "malformed packet", {"bytes": len(packet)}, f"dropped: {error}")
        self._note_strikes(sender)

    def tick(self) -> None:
        """What time brings about: flags and sessions end, the console has said something."""
        now_s = time.monotonic()
        self._look_at_faults(now_s)
        self._control.tick(now_s)
        for session in self._sessions.expired(now_s):
            if session.stage is Stage.ESTABLISHED:
                self._note(session.sockaddr, "session.close", {}, "idle for too long")
                self._leave(session)
            else:
                # What many clients do when our proof of the password isn't theirs.
                self._note(session.sockaddr, "session.open", _login(session), "refused: login not finished")
        if self._sol is not None and not self._control.faults.quiet(now_s):
            self._sol.pump(now_s)

    # --- packets --------------------------------------------------------------------------------

    def _dispatch(self, packet: bytes, sender: Any, now_s: float) -> None:
        found = addressed(packet)
        if found is None:
            return
        if found.kind == OPEN_SESSION:
            self._open_session(found.message, sender, now_s)
        elif found.session == 0:
            self.sessionless_data(packet, sender)
        elif (session := self._sessions.get(found.session, sender)) is None:
            if found.kind in LOGIN:
                refusal = bytes((found.message[0], INVALID_SESSION, 0, 0)) + bytes(4)
                self._send(outside_session(found.kind + 1, refusal), sender)
        elif found.kind in LOGIN:
            session.login_message(found.kind, found.message)
        else:
            session.packet(packet, now_s)

    def _open_session(self, message: bytes, sender: Any, now_s: float) -> None:
        if self._control.faults.no_free_session() or not self._sessions.has_room():
            self._note(sender, "session.open", {}, "0x01 insufficient resources")
            refusal = bytes((message[0], INSUFFICIENT_RESOURCES, 0, 0)) + message[4:8]
            self._send(outside_session(OPEN_SESSION_RESPONSE, refusal), sender)
            return
        session = StrictSession(self, self._guid, sender, self.serversocket, message, now_s)
        forget_in_pyghmi(sender)
        if session.number:
            self._sessions.add(session)

    def send_cipher_suites(
        self, myaddr: int, mylun: int, clientaddr: int, clientlun: int, seq: int, data: Any, sockaddr: Any
    ) -> None:
        """pyghmi's tells of suite 3 alone."""
        self._note(sockaddr, "channel.ciphers", {}, "ok")
        header = bytes((clientaddr, clientlun | (ipmi.APP + 1) << 2))
        body = bytes((myaddr, mylun | seq << 2, 0x54, ipmi.OK)) + cipher_suites(data[22])
        checksum = pyghmi_session._checksum
        message = header + bytes((checksum(*header),)) + body + bytes((checksum(*body),))
        self._send(outside_session(0, message), sockaddr)

    def send_auth_cap(
        self, myaddr: int, mylun: int, clientaddr: int, clientlun: int, clientseq: int, sockaddr: Any
    ) -> None:
        self._note(sockaddr, "channel.auth_capabilities", {}, "ok")
        super().send_auth_cap(myaddr, mylun, clientaddr, clientlun, clientseq, sockaddr)

    def _send(self, packet: bytes, receiver: Any) -> None:
        self.serversocket.sendto(packet, receiver)

    # --- what sessions ask and tell -------------------------------------------------------------

    def key_of(self, name: bytes) -> bytes | None:
        password = self.authdata.get(name.decode("utf-8", "replace"))
        if password is None:
            return None
        return os.urandom(20) if self._control.faults.other_password() else str(password).encode()

    def logged_in(self, session: StrictSession) -> None:
        self._note(session.sockaddr, "session.open", _login(session), "ok")

    def login_failed(self, session: StrictSession, why: str) -> None:
        self._sessions.remove(session)
        self._note(session.sockaddr, "session.open", _login(session), f"refused: {why}")

    def logged_out(self, session: StrictSession) -> None:
        self._note(session.sockaddr, "session.close", {}, "ok")
        self._sessions.remove(session)
        self._leave(session)

    def answered(self, request: Any, session: StrictSession, code: int) -> None:
        data = bytes(request["data"])
        name = ipmi.command_name(request["netfn"], request["command"], data)
        self._note(session.sockaddr, name, ipmi.arguments(name, data), ipmi.result(name, code))

    def answer(self, request: Any, session: StrictSession) -> tuple[int, bytes]:
        """Every other command of an open session comes here."""
        asked = Request(
            request["netfn"], request["command"], bytes(request["data"]), session.number, session.privilege
        )
        name = ipmi.command_name(asked.netfn, asked.command, asked.data)
        arguments, sender = ipmi.arguments(name, asked.data), session.sockaddr
        now_s = time.monotonic()
        decision, why = self._control.execute(
            asked,
            name,
            now_s,
            lambda act: self._serve(act, session, now_s),
            lambda why: self._note(sender, name, arguments, f"ok{why}"),
        )
        self._note(sender, name, arguments, f"{ipmi.result(name, decision.code)}{why}")
        return decision.code, decision.data

    def _serve(self, act: Act, session: StrictSession, now_s: float) -> None:
        if act is Act.OPEN_CONSOLE:
            self._sol = SolPayload(session, self._open_console())
        elif act is Act.CLOSE_CONSOLE:
            self._end_sol(tell=True)
        elif act is Act.RESTART_BMC:
            self._control.restart(now_s, RESTART_S)
            self._forget_sessions()

    # --- endings --------------------------------------------------------------------------------

    def _leave(self, session: StrictSession) -> None:
        if session.number == self._control.state.sol_session:
            self._control.sol_ended()
            self._end_sol(tell=True)

    def _look_at_faults(self, now_s: float) -> None:
        if self._control.give_faults(self._fault_file.read(), now_s):
            self._note_strikes(("", 0))
            self._forget_sessions()

    def _note_strikes(self, sender: Any) -> None:
        """Of the faults that have struck since the last time."""
        struck = self._control.faults.struck
        for fault, times in struck.items():
            if times != self._struck.get(fault):
                self._struck[fault] = times
                self._note(sender, "struck", {"fault": fault}, "ok", device="fault")

    def _forget_sessions(self) -> None:
        self._sessions.clear()
        self._end_sol(tell=False)

    def _end_sol(self, *, tell: bool) -> None:
        sol, self._sol = self._sol, None
        if sol is not None:
            sol.close(tell=tell)

    def _note(
        self, sender: Any, command: str, arguments: dict[str, Any], result: str, device: str = "bmc"
    ) -> None:
        self._audit.write(
            Entry(
                t=time.time(),
                node=self._node,
                device=device,
                sender=f"{sender[0]}:{sender[1]}",
                command=command,
                args=arguments,
                result=result,
            )
        )


def _login(session: StrictSession) -> dict[str, Any]:
    if not session.number:
        return {}
    return {"user": session.name.decode("utf-8", "replace"), "cipher_suite": session.suite.number}


def _keep_pyghmi_from_reading() -> None:
    """pyghmi reads its sockets in a thread that it starts with the first one, unless there is one.

    That thread and the one that answers set the socket's blocking mode against each other, so that a packet
    can lie unread until the next one comes; and it knows of sockets alone, not of consoles and clocks.
    """
    pyghmi_session.iothread = threading.current_thread()
    pyghmi_session.iothreadready = True
