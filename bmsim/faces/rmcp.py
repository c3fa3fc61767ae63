"""Sessions of IPMI 2.0 as the specification has them, where pyghmi's server is silent or always agrees.

Sections and tables are those of the IPMI specification, second generation, revision 1.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyghmi.ipmi.private.constants as constants
import pyghmi.ipmi.private.session as client_session
from pyghmi.ipmi.private.serversession import ServerSession

# Table 13-15, RMCP+ and RAKP message status codes.
INSUFFICIENT_RESOURCES = 0x01
UNAUTHORIZED_NAME = 0x0D
INVALID_INTEGRITY_CHECK = 0x0F
NO_CIPHER_SUITE_MATCH = 0x11

SUITE_3 = (0x01, 0x01, 0x01)  # RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128 (table 22-20)
_ALGORITHM_OFFSETS = (12, 20, 28)  # §13.17: authentication, integrity, confidentiality

Refusal = Callable[[], int]
"""Asked when a session is opened: 0, or the status code to refuse it with."""


class StrictSession(ServerSession):  # type: ignore[misc]
    """One session. `bmc` is the face; it decides whether the session may open, and hears how it went."""

    def create_open_session_response(self, request: Any) -> Any:
        """§13.18. pyghmi's client proposes suite 17 and falls back only if told that it isn't served."""
        request = bytearray(request)
        status = self.bmc.open_status(self.sockaddr)
        proposed = tuple(request[offset] if len(request) > offset else None for offset in _ALGORITHM_OFFSETS)
        if status == 0 and proposed != SUITE_3:
            status = NO_CIPHER_SUITE_MATCH
        if status:
            return bytearray((request[0], status, 0, 0)) + request[4:8]
        return super().create_open_session_response(request)

    def _got_rakp1(self, data: Any) -> None:
        name = bytes(data[28 : 28 + data[27]])
        if self.authdata.get(name.decode("utf-8", "replace")) is None:
            self.bmc.login_failed(self.sockaddr, "unauthorized name")
            self._refuse("rakp2", data[0], UNAUTHORIZED_NAME)
            return
        super()._got_rakp1(data)

    def _got_rakp3(self, data: Any) -> None:
        if data[1] != 0:
            # The client found our proof of the password wrong: it has another one.
            self.bmc.login_failed(self.sockaddr, "the client knows another password")
            return
        self._answered = False
        super()._got_rakp3(data)
        if self._answered:
            self.bmc.logged_in(self)
        else:
            self.bmc.login_failed(self.sockaddr, "wrong password")
            self._refuse("rakp4", data[0], INVALID_INTEGRITY_CHECK)

    def _send_rakp4(self, tagvalue: int, statuscode: int) -> None:
        self._answered = True
        super()._send_rakp4(tagvalue, statuscode)

    def _refuse(self, message: str, tag: int, status: int) -> None:
        payload = bytearray((tag, status, 0, 0)) + bytearray(self.clientsessionid)
        self.send_payload(payload, constants.payload_types[message], retry=False)

    def close_server_session(self) -> None:
        self.bmc.logged_out(self)
        self.forget()

    def forget(self) -> None:
        """pyghmi keeps every session for ever, by the client's address and port."""
        handlers = client_session.Session.bmc_handlers.get(self.sockaddr)
        if handlers is not None and handlers.get(self.bmc.port) is self:
            del client_session.Session.bmc_handlers[self.sockaddr]


def is_open_session_request(data: bytes) -> bool:
    """§13.6, §13.17: an RMCP packet of class IPMI, in the RMCP+ format, with payload type 10h."""
    return len(data) >= 48 and data[0] == 6 and data[2:4] == b"\xff\x07" and data[4] == 6 and data[5] == 0x10
