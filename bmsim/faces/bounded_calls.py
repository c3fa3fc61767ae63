"""Blocking calls with an end to the waiting, if not to the call."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class StillRunning(Exception):
    """A call took too long, and goes on by itself; until it ends no other one begins."""


class BoundedCalls:
    """One call at a time, in a thread that doesn't keep the process alive."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._last: Future[Any] | None = None
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def run(self, function: Callable[[], T], *, timeout_s: float) -> T:
        """Raises what the function raises, or StillRunning."""
        if self._last is not None and not self._last.done():
            raise StillRunning("the one before it is still running")
        future: Future[T] = Future()
        self._last = future
        self._calls.put((future, function))
        try:
            return future.result(timeout_s)
        except TimeoutError:
            if future.done():
                raise  # the function's own
            raise StillRunning(f"not done in {timeout_s:g} s") from None

    def _work(self) -> None:
        while True:
            future, function = self._calls.get()
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
                future.set_exception(error)
