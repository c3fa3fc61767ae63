"""Work that is counted and not timed: a machine that others use too takes longer for it, and does no more."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection

STEPS_EACH = 10
"""SQLite calls us once for so many of its virtual machine's instructions."""


class Work:
    """Of the thread that counts: instructions of Python (bytecode), and of SQLite for connections opened in
    its context. What one of Python's does in C counts as one, whatever it takes."""

    def __init__(self) -> None:
        self._instructions = 0
        self._counting = False

    def __enter__(self) -> Work:
        sa.event.listen(sa.Engine, "connect", self._connected)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(sa.Engine, "connect", self._connected)

    @contextmanager
    def counted(self) -> Iterator[Callable[[], int]]:
        """Gives what tells how many there were, from then on."""
        before, self._counting = self._instructions, True
        traced = sys.gettrace()
        sys.settrace(self._trace)
        try:
            yield lambda: self._instructions - before
        finally:
            sys.settrace(traced)
            self._counting = False

    def _connected(self, connection: DBAPIConnection, _: Any) -> None:
        assert isinstance(connection, sqlite3.Connection)
        connection.set_progress_handler(self._stepped, STEPS_EACH)

    def _stepped(self) -> None:
        if self._counting:
            self._instructions += STEPS_EACH

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self._instructions += 1
        return self._trace
