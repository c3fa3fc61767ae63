"""A machine's serial console in the terminal.

What it says is read from the log that QEMU keeps, what is typed goes to its socket: so the console outlives
the machine's power cycles, and shows what was said while nobody listened.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LEAVE = b"\x1d"  # Ctrl-]
POLL_S = 0.05


def show(log: Path) -> None:
    """Prints what the console has said until now."""
    _News(log).show()


def follow(log: Path, goes_on: Callable[[], bool]) -> None:
    """Prints what the console has said, and what it goes on to say, for as long as it may."""
    news, more = _News(log), True
    while more:
        more = goes_on()
        news.show()
        if more:
            time.sleep(POLL_S)


def attach(log: Path, console: Path, goes_on: Callable[[], bool]) -> None:
    """The console with our keyboard, until Ctrl-] or for as long as it may say something. What it said before
    comes first."""
    news, line = _News(log), _Line(console)
    with _raw_terminal():
        try:
            more = True
            while more:
                more = goes_on()
                news.show()
                line.drain()
                if not select.select([sys.stdin], [], [], POLL_S)[0]:
                    continue
                typed = os.read(sys.stdin.fileno(), 1024)
                if not typed or LEAVE in typed:
                    return
                line.send(typed)
        finally:
            line.close()


class _News:
    """What a growing file says since the last look."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._position = 0

    def show(self) -> None:
        try:
            with self._log.open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except FileNotFoundError:
            return
        self._position += len(data)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


class _Line:
    """The socket to the machine's serial port, for as long as there is one: it goes with the power."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: socket.socket | None = None

    def send(self, data: bytes) -> None:
        try:
            if self._connection is None:
                self._connection = socket.socket(socket.AF_UNIX)
                self._connection.connect(str(self._path))
            self._connection.sendall(data)
        except OSError:  # off, as a keyboard on a dead machine
            self.close()

    def drain(self) -> None:
        """Throws away what the machine says: it is in the log as well, and QEMU waits for who listens."""
        with suppress(BlockingIOError):
            while self._connection is not None:
                try:
                    if not self._connection.recv(65536, socket.MSG_DONTWAIT):
                        self.close()
                except ConnectionError:
                    self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def _raw_terminal() -> Iterator[None]:
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
