"""Ctrl-C and SIGTERM, heard between two stories and not in the middle of anything."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether somebody has enough. Nothing is raised by it: where an exception struck the pool of workers
    itself, it left some that nobody knew of, for which the command then waited for ever.

    number: of the first signal that came; 0: none has. urgent: Ctrl-C came again.
    """

    def __init__(self) -> None:
        self.number = 0
        self.urgent = False
        self._told: list[Callable[[], object]] = []

    @property
    def exit_code(self) -> int:
        """As shells have it."""
        return 128 + self.number

    def tell(self, callback: Callable[[], object]) -> None:
        """Called at each signal, by a signal handler: it must not wait for a lock."""
        self._told.append(callback)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """In the main thread."""
        before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        # Who repeats SIGTERM means nothing by it: timeout(1) sends it twice.
        self.urgent = self.urgent or (self.number > 0 and number == signal.SIGINT)
        self.number = self.number or number
        for callback in self._told:
            callback()
