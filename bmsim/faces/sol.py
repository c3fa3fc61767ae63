"""Serial over LAN: the machine's console socket on one side, an IPMI session on the other."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pyghmi.ipmi.console as console

CHUNK_BYTES = 4096
MAX_WAITING_BYTES = 65536
"""Console output waiting for the client's acknowledgements; while it is more, nothing is read."""


class SerialBridge:
    """One activated SOL payload. `pump` is called often by the loop that serves the BMC."""

    def __init__(self, session: Any, socket_path: Path) -> None:
        self.session = session
        self._path = socket_path
        self._machine: socket.socket | None = None
        self._sol = console.ServerConsole(session, self._typed)

    def pump(self) -> None:
        """Brings what the console printed to the client. The machine may be off, or come back."""
        waiting = sum(len(piece) for piece in self._sol.pendingoutput if not isinstance(piece, dict))
        if waiting > MAX_WAITING_BYTES:
            return
        machine = self._connected()
        if machine is None:
            return
        try:
            data = machine.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._sol.send_data(data)
        else:
            self._disconnect()

    def close(self) -> None:
        self._disconnect()
        self._sol.close()

    def _typed(self, data: Any) -> None:
        machine = self._connected()
        if machine is not None and isinstance(data, bytes | bytearray):
            try:
                machine.sendall(bytes(data))
            except OSError:
                self._disconnect()

    def _connected(self) -> socket.socket | None:
        if self._machine is None:
            machine = socket.socket(socket.AF_UNIX)
            try:
                machine.connect(str(self._path))
            except OSError:
                # The machine is off: no process listens.
                machine.close()
                return None
            machine.setblocking(False)
            self._machine = machine
        return self._machine

    def _disconnect(self) -> None:
        if self._machine is not None:
            self._machine.close()
            self._machine = None
