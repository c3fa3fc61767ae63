"""What a virtual loop runs: tasks, callbacks and timers, and the owner whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any, Protocol


class Owner(Protocol):
    """Whose steps these are: `scenarios.runner.processes` gives it a meaning."""

    name: str
    halted: bool

    def hold(self, item: Held) -> None:
        """Takes what was to run now, because `halted`."""
        ...

    def close(self) -> None:
        """The story has ended: lets go of what never will run."""
        ...


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)


WAITS_WHILE_CLOSING = 20


class SimTask(asyncio.Task[Any]):
    """Hashed by its number: `for task in {…}` then has the same order in every process."""

    __slots__ = ("number", "owner")

    def __init__(self, number: int, owner: Owner | None, coro: Any, **options: Any) -> None:
        self.number = number
        self.owner = owner
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self.number


# asyncio's own handles, made with fewer questions: it happens millions of times.


def _nothing() -> None:
    """What is left of a timer that was cancelled: nothing that it would keep alive."""


class Callback(asyncio.Handle):
    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context,
    ) -> None:
        self._context = context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class Timer(asyncio.TimerHandle):
    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context,
    ) -> None:
        self._context = context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None
        self._when = when
        self._scheduled = True

    def cancel(self) -> None:
        # Most have fired: whoever slept cancels its timer when it wakes up.
        if not self._cancelled:
            self._cancelled = True
            if self._scheduled:
                self._loop._timer_handle_cancelled(self)  # type: ignore[attr-defined]  # as in asyncio's own
            self._callback, self._args = _nothing, ()


# A task's step: the task's number, what resumes it, with what, in its context.
Step = tuple[int, Callable[..., object], tuple[Any, ...], Context]
Held = Callback | Timer | Step


def close_silently(coroutine: Any) -> None:
    """Of a story that has ended: what it does to clean up concerns nobody, even if it waits or fails."""
    for _ in range(WAITS_WHILE_CLOSING):
        try:
            coroutine.close()
        except RuntimeError:  # it waited for something in a `finally`: on to the next
            continue
        except BaseException:  # noqa: BLE001  # as the docstring says
            return
        return
