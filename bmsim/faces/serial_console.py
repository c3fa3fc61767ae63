"""A machine's serial console: what it says by the log that QEMU keeps, what it is told by its socket.

By the log, since it has every byte from the machine's first on, whoever else listens to the socket, and
since the socket is new each time the machine starts.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

MAX_UNSENT_BYTES = 4096
"""Typed faster than the machine reads; what is more is lost, as on a real line without flow control."""


class SerialConsole:
    """Begins with what the machine says from now on."""

    def __init__(self, log: Path, socket_path: Path) -> None:
        self._log = log
        self._socket_path = socket_path
        self._file: int | None = None
        self._position = 0
        self._line: socket.socket | None = None
        self._unsent = b""
        if self._opened():
            self._position = os.fstat(self._fd()).st_size

    def read(self, limit: int) -> bytes:
        """What it has said and was not read yet; nothing if it is silent, or off."""
        if not self._opened():
            return b""
        data = os.pread(self._fd(), limit, self._position)
        self._position += len(data)
        if not data:
            self._follow_replacement()
        return data

    def type(self, characters: bytes) -> None:
        """Lost if the machine is off."""
        self._unsent = (self._unsent + characters)[:MAX_UNSENT_BYTES]
        self.flush()

    def flush(self) -> None:
        """Sends what the machine takes, and discards what it says on the socket."""
        if self._line is None and not (self._unsent and self._connect()):
            self._unsent = b""
            return
        assert self._line is not None
        try:
            with contextlib.suppress(BlockingIOError):
                while True:
                    if not self._line.recv(65536):
                        raise ConnectionResetError
            with contextlib.suppress(BlockingIOError):
                self._unsent = self._unsent[self._line.send(self._unsent) :] if self._unsent else b""
        except OSError:
            self._line.close()
            self._line = None

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        self._close_log()

    def _connect(self) -> bool:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            line.connect(str(self._socket_path))
        except OSError:
            line.close()
            return False
        self._line = line
        return True

    def _opened(self) -> bool:
        if self._file is None:
            with contextlib.suppress(OSError):
                self._file = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
        return self._file is not None

    def _fd(self) -> int:
        assert self._file is not None
        return self._file

    def _follow_replacement(self) -> None:
        """At the end: was the log cut, or replaced?"""
        ours = os.fstat(self._fd())
        try:
            there = self._log.stat()
        except OSError:
            return
        if (there.st_ino, there.st_dev) != (ours.st_ino, ours.st_dev):
            self._close_log()
            self._position = 0
        elif there.st_size < self._position:
            self._position = 0

    def _close_log(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
