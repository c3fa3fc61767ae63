"""An activated serial-over-LAN payload: a machine's console on one side, a session on the other."""

from __future__ import annotations

from typing import Any

from bmsim.devices.bmc import MAX_SOL_PAYLOAD_BYTES
from bmsim.devices.sol import GOODBYE, SolLine
from bmsim.faces.rmcp import StrictSession
from bmsim.faces.serial_console import SerialConsole

POLL_S = 0.02
"""How often the console's log is looked at: no file descriptor tells that a file has grown."""


class SolPayload:
    """`pump` is to be called every POLL_S."""

    def __init__(self, session: StrictSession, console: SerialConsole) -> None:
        self._session = session
        self._console = console
        self._line = SolLine()
        self._now_s = 0.0
        session.sol_handler = self._received

    def pump(self, now_s: float) -> None:
        """Sends what the console said, and again what wasn't acknowledged."""
        self._now_s = now_s
        self._console.flush()
        if packet := self._line.again(now_s):
            self._session.send_characters(packet)
        else:
            self._send_next()

    def close(self, *, tell: bool) -> None:
        """tell: the client; not when the BMC dies."""
        self._session.sol_handler = None
        if tell:
            self._session.send_characters(GOODBYE)
        self._console.close()

    def _received(self, packet: Any) -> None:
        received = self._line.receive(bytes(packet))
        if received.answer is not None:
            self._session.send_characters(received.answer)
        if received.typed:
            self._console.type(received.typed)
        self._send_next()

    def _send_next(self) -> None:
        if self._line.idle and (characters := self._console.read(MAX_SOL_PAYLOAD_BYTES)):
            self._session.send_characters(self._line.send(characters, self._now_s))
