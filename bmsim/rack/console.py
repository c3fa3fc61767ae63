"""A machine's serial console in the terminal."""

from __future__ import annotations

import os
import select
import socket
import sys
import termios
import time
import tty
from pathlib import Path

LEAVE = b"\x1d"  # Ctrl-]


def follow(log: Path, *, stop_at_end: bool) -> None:
    """Prints what the console has said, and goes on with what it says, until interrupted."""
    position = 0
    while True:
        if log.exists():
            with log.open("rb") as file:
                file.seek(position)
                data = file.read()
            position += len(data)
            os.write(1, data)
        if stop_at_end:
            return
        time.sleep(0.1)


def attach(log: Path, console: Path) -> None:
    """The console with our keyboard; Ctrl-] leaves it. What it said before comes first."""
    follow(log, stop_at_end=True)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(console))
        before = termios.tcgetattr(sys.stdin)
        tty.setraw(sys.stdin)
        try:
            _shuttle(connection)
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _shuttle(connection: socket.socket) -> None:
    while True:
        readable, _, _ = select.select([connection, sys.stdin], [], [])
        if connection in readable:
            data = connection.recv(65536)
            if not data:
                return
            os.write(1, data)
        if sys.stdin in readable:
            typed = os.read(0, 1024)
            if not typed or LEAVE in typed:
                return
            connection.sendall(typed)
