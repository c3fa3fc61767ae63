"""Sessions of IPMI 2.0 (RMCP+) as the specification has them, on pyghmi's server session.

pyghmi's own agrees with whatever a client proposes, stays silent at a wrong name or password, and knows
no cipher suite but 3. Kept of it: the framing, the encryption and the integrity check of packets.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from pyghmi.ipmi.private import constants
from pyghmi.ipmi.private.serversession import ServerSession

from bmsim.devices import ipmi_codes as ipmi

# Status codes of the login messages (table 13-15).
INSUFFICIENT_RESOURCES = 0x01
INVALID_SESSION = 0x02
UNAUTHORIZED_ROLE = 0x0A
UNAUTHORIZED_NAME = 0x0D
INVALID_INTEGRITY_CHECK = 0x0F
NO_CIPHER_SUITE_MATCH = 0x11

MAX_NAME_BYTES = 16
REPEAT_S = 10.0
"""A command that comes again within this, with its number, is the same one: it gets the same answer."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite (table 22-20); all encrypt by AES-CBC-128.

    algorithms:     of authentication, integrity and confidentiality, by number
    integrity_bytes: how much of an authentication code a packet carries
    """

    number: int
    algorithms: tuple[int, int, int]
    digest: Callable[..., Any]
    integrity_bytes: int

    def code(self, key: bytes, data: bytes) -> bytes:
        return hmac.digest(key, data, self.digest)


SUITES = (
    Suite(3, (0x01, 0x01, 0x01), hashlib.sha1, 12),
    Suite(17, (0x03, 0x04, 0x01), hashlib.sha256, 16),
)


class Stage(Enum):
    OPENED = "opened"
    CHALLENGED = "challenged"
    ESTABLISHED = "established"
    ENDED = "ended"


class Face(Protocol):
    """What a session asks and tells the BMC that it belongs to; before the client hears of it."""

    port: int

    def key_of(self, name: bytes) -> bytes | None:
        """A user's key, or None where there is no such user."""

    def login_failed(self, session: StrictSession, why: str) -> None: ...

    def logged_in(self, session: StrictSession) -> None: ...

    def logged_out(self, session: StrictSession) -> None: ...

    def answer(self, request: Any, session: StrictSession) -> tuple[int, bytes]:
        """A command's completion code and data."""

    def answered(self, request: Any, session: StrictSession, code: int) -> None:
        """A command that is the session's own."""


class StrictSession(ServerSession):  # type: ignore[misc]
    """One session, from the request to open it. Its identifier is `number`, 0 while it was refused."""

    bmc: Face
    sol_handler: Callable[[Any], None] | None = None

    def __new__(cls, *_: Any) -> StrictSession:
        """pyghmi's wants the arguments of its own constructor, and does nothing with them."""
        return object.__new__(cls)

    def __init__(
        self, bmc: Face, guid: bytes, sender: Any, socket: Any, message: bytes, now_s: float
    ) -> None:
        self.stage = Stage.ENDED
        self.number = 0
        self.suite = SUITES[0]
        self.guid = guid
        self.name = b""
        self.privilege = ipmi.USER
        self.last_packet_s = now_s
        # What pyghmi's parser of packets expects to be there.
        self.k1: bytes | None = None
        self.localsid = 0
        self.remseqnumber: int | None = None
        self.last_payload_type = None
        self._handshake: dict[bytes, bytes] = {}
        self._command: tuple[Any, ...] = ()
        self._command_at_s = 0.0
        self._answer: tuple[int, bytes] = (ipmi.OK, b"")
        self._now_s = now_s
        super().__init__({}, None, sender, socket, message, guid, bmc)

    # --- login (§13.17 to §13.23) ---------------------------------------------------------------

    def create_open_session_response(self, request: Any) -> Any:
        """pyghmi's client proposes suite 17, and falls back only if told that it isn't served."""
        request = bytes(request)
        tag, self.clientsessionid = request[0], request[4:8]
        suite = _chosen(request)
        if suite is None:
            self.bmc.login_failed(self, "0x11 no cipher suite match")
            return bytearray((tag, NO_CIPHER_SUITE_MATCH, 0, 0)) + self.clientsessionid
        self.suite = suite
        self.currhashlib, self.currhashlen = suite.digest, suite.integrity_bytes
        self.managedsessionid = os.urandom(4)
        self.number = int.from_bytes(self.managedsessionid, "little")
        self.stage = Stage.OPENED
        chosen = b"".join(
            bytes((kind, 0, 0, 8, algorithm, 0, 0, 0)) for kind, algorithm in enumerate(suite.algorithms)
        )
        privilege = request[1] & 0x0F or ipmi.ADMINISTRATOR
        return bytearray((tag, 0, privilege, 0)) + self.clientsessionid + self.managedsessionid + chosen

    def login_message(self, kind: int, message: bytes) -> None:
        """RAKP message 1 or 3. One that comes again gets the answer that it got."""
        if message in self._handshake:
            self.socket.sendto(self._handshake[message], self.sockaddr)
            return
        if kind == constants.payload_types["rakp1"] and self.stage is Stage.OPENED:
            self._challenge(message)
        elif kind == constants.payload_types["rakp3"] and self.stage is Stage.CHALLENGED:
            self._prove(message)
        else:
            return
        self._handshake[message] = bytes(self.netpacket)

    def _challenge(self, message: bytes) -> None:
        """RAKP 1 → RAKP 2 (§13.20, §13.21)."""
        if len(message) < 28 or len(message) < 28 + message[27]:
            raise ValueError("RAKP 1 is too short")
        self.Rm, self.rolem = message[8:24], message[24]
        self.name = message[28 : 28 + message[27]]
        self.maxpriv = min(self.rolem & 0x0F, ipmi.ADMINISTRATOR)
        key = self.bmc.key_of(self.name) if len(self.name) <= MAX_NAME_BYTES else None
        if key is None:
            self._refuse("rakp2", message[0], UNAUTHORIZED_NAME, "no such user")
            return
        if self.rolem & 0x0F > ipmi.ADMINISTRATOR:
            self._refuse("rakp2", message[0], UNAUTHORIZED_ROLE, "no such privilege level")
            return
        self.kuid, self.Rc = key, os.urandom(16)
        asked = self.clientsessionid + self.managedsessionid + self.Rm + self.Rc + self.guid + self._role()
        payload = bytes((message[0], 0, 0, 0)) + self.clientsessionid + self.Rc + self.guid
        self.stage = Stage.CHALLENGED
        self._send("rakp2", payload + self.suite.code(self.kuid, asked))

    def _prove(self, message: bytes) -> None:
        """RAKP 3 → RAKP 4 (§13.22, §13.23)."""
        if len(message) < 8:
            raise ValueError("RAKP 3 is too short")
        if message[1] != 0:
            # The client found our proof wrong: it has another password. It expects no answer.
            self._ended("another password than ours")
            return
        expected = self.suite.code(self.kuid, self.Rc + self.clientsessionid + self._role())
        if not hmac.compare_digest(expected, message[8:]):
            self._refuse("rakp4", message[0], INVALID_INTEGRITY_CHECK, "wrong password")
            return
        self.sik = self.suite.code(self.kuid, self.Rm + self.Rc + self._role())
        self.k1 = self.suite.code(self.sik, b"\x01" * 20)
        self.k2 = self.suite.code(self.sik, b"\x02" * 20)
        self.aeskey = self.k2[:16]
        proof = self.suite.code(self.sik, self.Rm + self.managedsessionid + self.guid)
        payload = bytes((message[0], 0, 0, 0)) + self.clientsessionid
        self._send("rakp4", payload + proof[: self.suite.integrity_bytes])
        self._establish()

    def _establish(self) -> None:
        self.stage = Stage.ESTABLISHED
        self.localsid = self.number
        self.sessionid = int.from_bytes(self.clientsessionid, "little")
        self.sequencenumber = 1
        self.confalgo, self.integrityalgo = "aes", "given by currhashlib"
        self.ipmicallback = self.handle_client_request
        self.bmc.logged_in(self)

    def _role(self) -> bytes:
        return bytes((self.rolem, len(self.name))) + self.name

    def _refuse(self, message: str, tag: int, status: int, why: str) -> None:
        self._ended(why)
        self._send(message, bytes((tag, status, 0, 0)) + self.clientsessionid)

    def _ended(self, why: str) -> None:
        self.stage = Stage.ENDED
        self.bmc.login_failed(self, why)

    def _send(self, kind: str, payload: bytes) -> None:
        self.send_payload(bytearray(payload), constants.payload_types[kind], retry=False)

    # --- an open session ------------------------------------------------------------------------

    def packet(self, data: bytes, now_s: float) -> None:
        """An authenticated packet: a command, or characters of the serial console."""
        if self.stage is not Stage.ESTABLISHED:
            return
        sequence = int.from_bytes(data[10:14], "little")
        if sequence == self.remseqnumber:
            return  # the network brought it twice; pyghmi refuses only older ones
        before, self._now_s = self.remseqnumber, now_s
        self._handle_ipmi2_packet(bytearray(data))
        if self.remseqnumber != before:
            self.last_packet_s = now_s

    def handle_client_request(self, request: Any) -> None:
        """A command, decrypted. One that the client sends again is answered again, not done again."""
        command = (self.seqlun, request["netfn"], request["command"], bytes(request["data"]))
        if command != self._command or self._now_s - self._command_at_s > REPEAT_S:
            self._answer = self._answered(request)
            self._command, self._command_at_s = command, self._now_s
        code, data = self._answer
        self.send_ipmi_response(data=data, code=code)

    def _answered(self, request: Any) -> tuple[int, bytes]:
        data = bytes(request["data"])
        match request["netfn"], request["command"]:
            case (ipmi.APP, 0x3B):  # §22.18, set session privilege level
                answer = self._set_privilege(data)
            case (ipmi.APP, 0x3C):  # §22.19, close session
                return self._close(data)
            case (ipmi.APP, 0x54) if len(data) == 3:
                answer = ipmi.OK, cipher_suites(data[2])
            case _:
                return self.bmc.answer(request, self)
        self.bmc.answered(request, self, answer[0])
        return answer

    def _close(self, data: bytes) -> tuple[int, bytes]:
        if data[:4] != self.managedsessionid:
            return ipmi.INVALID_SESSION, b""
        self.stage = Stage.ENDED
        self.bmc.logged_out(self)
        return ipmi.OK, b""

    def _set_privilege(self, data: bytes) -> tuple[int, bytes]:
        if not data:
            return ipmi.LENGTH_INVALID, b""
        wanted = data[0] & 0x0F
        if wanted > self.maxpriv:
            return ipmi.PRIVILEGE_EXCEEDS_LIMIT, b""
        if wanted:  # 0 asks for the present one
            self.privilege = max(wanted, ipmi.USER)
        return ipmi.OK, bytes((self.privilege,))

    def send_characters(self, payload: bytes) -> None:
        """One packet of the serial console."""
        self._send("sol", payload)


def _chosen(request: bytes) -> Suite | None:
    """The suite that a request to open a session proposes; the first where it leaves the choice to us."""
    proposed = []
    for kind in range(3):
        part = request[8 + 8 * kind : 16 + 8 * kind]
        if part[0] != kind:
            return None
        proposed.append(None if part[3] == 0 else part[4] & 0x3F)  # length 0: ours to choose (§13.17)
    for suite in SUITES:
        pairs = zip(proposed, suite.algorithms, strict=True)
        if all(wanted in (None, served) for wanted, served in pairs):
            return suite
    return None


def cipher_suites(index: int) -> bytes:
    """§22.15, get channel cipher suites: the LAN channel's number, and 16 bytes of the list by index."""
    records = b"".join(
        bytes(
            (0xC0, suite.number, suite.algorithms[0], 0x40 | suite.algorithms[1], 0x80 | suite.algorithms[2])
        )
        for suite in SUITES
    )
    start = 16 * (index & 0x3F)
    return b"\x01" + records[start : start + 16]
