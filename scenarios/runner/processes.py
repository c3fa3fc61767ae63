"""Processes of a simulated operating system: killed without a last word, stopped, continued.

A task belongs to the process in which it was started, and so do its child tasks, callbacks and timers: all
carry the process in their context. What a process merely asks of the world (a BMC that acts, a packet on its
way) has to be done by `outside` or `as_world`, or it would die with the process that asked.

Never share asyncio's locks and queues between processes: a dead owner never releases, and a dead waiter
swallows a wake-up. A task that isn't of the process awaits one of its tasks by `call` alone, which ends when
the process dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from enum import Enum, auto
from typing import Any, ParamSpec, TypeVar, cast

from scenarios.runner.virtual_loop import VirtualLoop
from scenarios.runner.virtual_tasks import OWNER, Held, SimTask, close_silently

T = TypeVar("T")
P = ParamSpec("P")


class ProcessDied(Exception):
    """Nobody answers any more: to the peer of a dead process, its connections are reset."""


class _State(Enum):
    RUNNING = auto()
    STOPPED = auto()
    DEAD = auto()


class Process:
    """Made inside a running VirtualLoop. With a `parent`, it dies when the parent does."""

    def __init__(self, name: str, parent: Process | None = None) -> None:
        self.name = name
        self.halted = False
        self._loop = cast(VirtualLoop, asyncio.get_running_loop())
        self._state = _State.RUNNING
        self._held: list[Held] = []
        self._parked: list[SimTask] = []
        self._callers: dict[asyncio.Future[Any], None] = {}
        self._at_gate: dict[asyncio.Future[None], None] = {}
        self._on_death: list[Callable[[], object]] = []
        if parent is not None:
            if not parent.alive:
                raise ProcessDied(f"{parent.name} is dead and starts no {name}")
            parent.on_death(self.kill)

    @property
    def alive(self) -> bool:
        """Also while stopped. What acts on the world for a process refuses when this is false: such calls
        come from the rest of a step that killed its own process, and when the story's remains are cleared."""
        return self._state is not _State.DEAD

    @property
    def stopped(self) -> bool:
        return self._state is _State.STOPPED

    def start(self, main: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """A task of this process. Its failure is the story's, unless someone fetches it."""
        if not self.alive:
            main.close()
            raise ProcessDied(f"{self.name} is dead: nothing starts in it")
        token = OWNER.set(self)
        try:
            return self._loop.create_task(main, name=name)
        finally:
            OWNER.reset(token)

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Does `work` in this process for a caller outside. Raises ProcessDied; waits while it is stopped.
        A caller that is cancelled cancels the work, and doesn't wait for it."""
        task = self.start(work)
        answer: asyncio.Future[T] = self._loop.create_future()
        self._callers[answer] = None
        task.add_done_callback(lambda _: _hand_over(task, answer))
        try:
            return await answer
        finally:
            del self._callers[answer]
            task.cancel()

    async def gate(self) -> None:
        """Returns when the process runs, at once if it does. Raises ProcessDied."""
        while self.stopped:
            opened = self._loop.create_future()
            self._at_gate[opened] = None
            try:
                await opened
            finally:
                del self._at_gate[opened]
        if not self.alive:
            raise ProcessDied(f"{self.name} is dead")

    def on_death(self, callback: Callable[[], object]) -> None:
        """Called by `kill`, as the world's, in the order of registration."""
        self._on_death.append(callback)

    def kill(self) -> None:
        """SIGKILL: none of its tasks takes another step, not even to clean up. Idempotent. (A step of its
        own that calls this goes on until it next waits.)"""
        if not self.alive:
            return
        self._halt(_State.DEAD)
        # A task that nobody refers to any more would be destroyed, and its `finally` be run.
        self._parked = [task for task in self._loop.tasks() if task.owner is self]
        for answer in self._callers:
            if not answer.done():
                answer.set_exception(ProcessDied(f"{self.name} died before it answered"))
                answer.exception()  # seen: its caller may be dead, too
        self._open_gate()
        for callback in self._on_death:
            as_world(callback)

    def stop(self) -> None:
        """SIGSTOP: its steps and timers wait for `cont`, while time goes on."""
        if self._state is _State.RUNNING:
            self._halt(_State.STOPPED)

    def cont(self) -> None:
        """SIGCONT."""
        if self.stopped:
            self._state = _State.RUNNING
            self.halted = False
            self._loop.halted_owners -= 1
            held, self._held = self._held, []
            self._loop.resume(held)
            self._open_gate()

    def hold(self, item: Held) -> None:
        self._held.append(item)

    def close(self) -> None:
        """By the loop, when the story has ended."""
        self._state = _State.DEAD
        for task in (task for task in self._loop.tasks() if task.owner is self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own switch
            context = Context()
            context.run(OWNER.set, self)
            context.run(close_silently, task.get_coro())
        self._held.clear()
        self._parked.clear()

    def _halt(self, state: _State) -> None:
        self._state = state
        if not self.halted:
            self.halted = True
            self._loop.halted_owners += 1

    def _open_gate(self) -> None:
        for opened in self._at_gate:
            if not opened.done():
                opened.set_result(None)


WORLD = Context()
"""In which the world's timers run: `call_later(…, context=WORLD)` is what `as_world` makes of it, sooner."""


def current() -> Process | None:
    """The process whose code runs now; None for the world's."""
    return cast("Process | None", OWNER.get())


def as_world(function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Calls `function` so that the tasks and timers which it starts are the world's, whoever calls."""
    if OWNER.get() is None:
        return function(*args, **options)
    token = OWNER.set(None)
    try:
        return function(*args, **options)
    finally:
        OWNER.reset(token)


async def outside(work: Coroutine[Any, Any, T], *, name: str | None = None) -> T:
    """Does `work` as the world's: it goes on to its end, even if the caller is killed or cancelled."""
    loop = asyncio.get_running_loop()
    task: asyncio.Task[T] = as_world(lambda: loop.create_task(work, name=name))
    answer: asyncio.Future[T] = loop.create_future()
    as_world(lambda: task.add_done_callback(lambda _: _hand_over(task, answer)))
    return await answer


def _hand_over(task: asyncio.Task[T], answer: asyncio.Future[T]) -> None:
    error = None if task.cancelled() else task.exception()
    if answer.done():
        return
    if task.cancelled():
        answer.cancel()
    elif error is not None:
        answer.set_exception(error)
        answer.exception()  # seen: who waited may be dead
    else:
        answer.set_result(task.result())
