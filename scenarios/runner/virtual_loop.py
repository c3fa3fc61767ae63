"""An asyncio loop without a world: time jumps, and a seed decides who goes first.

Everything that asyncio promises holds; what it leaves open is drawn. Callbacks run in the order in which
they were called for. Of the tasks that could take a step, any may be next, and the seed says which; where
they are very many it mostly says one of those that became ready last, whose data the caches still hold. Tasks
that are ready together are told apart by the order of their creation, never by their address, so that a
seed draws the same order in every process. Sets of tasks iterate in an order that is the same everywhere,
too; sets of bare futures don't.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from asyncio import events
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextvars import Context, copy_context
from heapq import heapify, heappop, heappush
from operator import itemgetter
from random import Random
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any

from scenarios.runner.reality import OF_LOOPS, refusal
from scenarios.runner.virtual_tasks import OWNER, Callback, Held, SimTask, Step, Timer, close_silently
from scenarios.runner.waits import Busy, Livelock, Stalled, describe

STEPS_PER_INSTANT = 5_000_000
"""More steps than that while time stands still are a livelock: 500 for each of 10,000 nodes."""
STEPS_WATCHED = 2_000
"""How long a livelock is looked at, to tell who is in it."""
CHECK_EVERY_STEPS = 10_000
COLLECT_EVERY_STEPS = 16_000_000
"""Nearly thirty thousand deploys. Each collection goes through all that came since the last one and is kept,
and finds next to nothing: the code that plays is written so that what it leaves refers to itself nowhere."""
FULL_COLLECTION_AT_STEPS = 64_000_000
CANCELLED_TIMERS_KEPT = 1_000

MANY = 64
"""So many tasks that are ready, and timers of one moment, are drawn from alike. Of more of them the last
`FEW - 1` are, and once in `FEW` times all: what thousands of nodes do at one moment is done a few at a time,
or each step would find its node's data in no cache."""
FEW = 16

# What C code that resumes a task is called: a type, and functions (3.11; newer).
_STEP_TYPE = "TaskStepMethWrapper"
_WAKEUPS = frozenset(("task_wakeup", "TaskWakeup"))
_number = itemgetter(0)

if TYPE_CHECKING:  # which has all that is abstract, so that a type checker lets the loop be made
    _Loop = asyncio.BaseEventLoop
else:
    _Loop = asyncio.AbstractEventLoop


class VirtualLoop(_Loop):
    """`time()` starts at 0 and moves when nothing is left to do at that time. Running it raises Stalled
    when nothing will ever move again, Livelock when time never would."""

    def __init__(self, seed: int, *, steps_per_instant: int = STEPS_PER_INSTANT) -> None:
        self.steps = 0  # taken until the last time that time moved, or the last check
        self.halted_owners = 0  # while there are none, nobody asks whose a step is
        self.troubles: list[BaseException] = []  # raised where nobody waited for them
        self.ending = False  # nothing begins any more
        self._random = Random(f"interleaving:{seed}")
        self._limit = steps_per_instant
        self._now_s = 0.0
        self._tasks_made = 0
        self._plain: deque[Callback | Timer] = deque()
        self._arrived: list[Step] = []
        self._pool: list[Step] = []
        self._timers: dict[float, list[Timer] | deque[Timer]] = {}  # of each time: first come, first served
        self._times: list[float] = []  # a heap of these
        self._timers_waiting = 0
        self._timers_cancelled = 0  # of these
        self._instant_began_at = 0
        self._busy = Busy()
        self._next_collection = COLLECT_EVERY_STEPS
        self._next_full_collection = FULL_COLLECTION_AT_STEPS
        self._stopping = False
        self._running = False
        self._closed = False
        self._step_type: type | None = None

    def time(self) -> float:
        return self._now_s

    def call_soon(  # type: ignore[override]  # a task doesn't look at what it gets for its own step
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle | None:
        kind = type(callback)
        if kind is self._step_type or (kind is BuiltinFunctionType and callback.__name__ in _WAKEUPS):
            task = callback.__self__  # type: ignore[attr-defined]
            if type(task) is SimTask and context is not None:
                self._arrived.append((task.number, callback, args, context))
                return None
        elif self._step_type is None and kind.__name__ == _STEP_TYPE:
            self._step_type = kind
            return self.call_soon(callback, *args, context=context)
        handle = Callback(callback, args, self, copy_context() if context is None else context)
        self._plain.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]  # as above; there is one thread
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle | None:
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]  # typeshed's is stricter in the names
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = Timer(when, callback, args, self, copy_context() if context is None else context)
        self._timers_waiting += 1
        if (others := self._timers.get(when)) is None:
            self._timers[when] = [timer]
            heappush(self._times, when)
        else:
            others.append(timer)
        return timer

    def _timer_handle_cancelled(self, handle: Timer) -> None:
        self._timers_cancelled += 1
        if (
            self._timers_cancelled > CANCELLED_TIMERS_KEPT
            and self._timers_cancelled * 2 > self._timers_waiting
        ):
            kept: dict[float, list[Timer] | deque[Timer]] = {}
            for when, timers in self._timers.items():
                for timer in timers:
                    if not timer._cancelled:
                        kept.setdefault(when, []).append(timer)
            self._timers = kept
            self._times = list(self._timers)
            heapify(self._times)
            self._timers_waiting -= self._timers_cancelled
            self._timers_cancelled = 0

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **options: Any
    ) -> SimTask:
        if self.ending:
            coro.close()
            raise RuntimeError("the story has ended: no task begins in it any more")
        self._tasks_made = number = self._tasks_made + 1
        owner = OWNER.get() if context is None else context.get(OWNER)
        # asyncio's own default would count on from the story before.
        return SimTask(
            number, owner, coro, loop=self, name=name or f"task-{number}", context=context, **options
        )

    def tasks(self) -> list[SimTask]:
        """Those that haven't ended, the oldest first."""
        alive = (task for task in asyncio.all_tasks(self) if isinstance(task, SimTask))
        return sorted(alive, key=lambda task: task.number)

    def resume(self, held: Iterable[Held]) -> None:
        """Runs what an owner held back."""
        for item in held:
            if isinstance(item, tuple):
                self._arrived.append(item)
            else:
                self._plain.append(item)

    def run_forever(self) -> None:
        if self._closed or self._running:
            raise RuntimeError("the loop is closed, or runs already")
        hooks = sys.get_asyncgen_hooks()
        self._running, self._stopping = True, False
        events._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._generator_dropped)
        try:
            self._run()
        finally:
            self._running = False
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def run_until_complete(self, future: Any) -> Any:
        task = asyncio.ensure_future(future, loop=self)
        task.add_done_callback(self._ended)
        try:
            self.run_forever()
        finally:
            task.remove_done_callback(self._ended)
        return task.result()

    def _ended(self, future: asyncio.Future[Any]) -> None:
        # What ends an interpreter has ended the loop by itself: as in asyncio, the next run isn't to stop.
        if future.cancelled() or not isinstance(future.exception(), (SystemExit, KeyboardInterrupt)):
            self._stopping = True

    def stop(self) -> None:
        self._stopping = True

    def _run(self) -> None:  # one long function: a call would cost as much as the rest of a step
        plain, pool, arrived = self._plain, self._pool, self._arrived
        random = self._random.random
        steps = self.steps
        item: Held
        check_at = steps + self._steps_to_check()
        while not self._stopping:
            if plain:
                item = handle = plain.popleft()
                if handle._cancelled:
                    continue
                callback, args, context = handle._callback, handle._args, handle._context
            else:
                if len(arrived) == 1:
                    pool.append(arrived.pop())
                elif arrived:
                    arrived.sort(key=_number)
                    pool += arrived
                    arrived.clear()
                ready = len(pool)
                if not ready:
                    self.steps = steps
                    self._advance()
                    continue
                step = pool.pop()
                if ready > MANY and (back := int(random() * FEW)) < FEW - 1:
                    drawn = ready - 1 - back
                else:
                    drawn = int(random() * ready) if ready > 1 else 0
                if drawn < ready - 1:
                    step, pool[drawn] = pool[drawn], step
                item = step
                _, callback, args, context = step
            steps += 1
            if steps >= check_at:
                self.steps = steps
                self._check(callback, item)
                check_at = steps + self._steps_to_check()
            if self.halted_owners and (owner := context.get(OWNER)) is not None and owner.halted:
                owner.hold(item)
                continue
            try:
                context.run(callback, *args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001  # as asyncio does: told, and the loop goes on
                self.call_exception_handler({"message": f"in the callback {callback!r}", "exception": error})
        self.steps = steps

    def _advance(self) -> None:
        """To the time of the next timer: all of that time are due, or where they are many the first ones."""
        due = self._plain
        while self._times and (not due or self._times[0] <= self._now_s):
            when = self._times[0]
            timers = self._timers[when]
            many = len(timers) > MANY
            if many:
                if isinstance(timers, list):  # of which to take the first ones moves all others
                    timers = self._timers[when] = deque(timers)
                timers = [timers.popleft() for _ in range(FEW)]
            else:
                heappop(self._times)
                del self._timers[when]
            self._timers_waiting -= len(timers)
            for timer in timers:
                timer._scheduled = False
                if timer._cancelled:
                    self._timers_cancelled -= 1
                else:
                    due.append(timer)
            if due and when > self._now_s:
                self._now_s = when
                self._instant_began_at = self.steps
            if due and many:
                break
        if not due:
            raise Stalled(f"at {self._now_s:.3f} s everyone waits for someone:\n{describe(self.tasks())}")

    def _steps_to_check(self) -> int:
        left = self._limit - (self.steps - self._instant_began_at)
        return max(1, min(CHECK_EVERY_STEPS, left))

    def _check(self, callback: Callable[..., object], item: Held) -> None:
        """Now and then, by steps and not by memory in use: what the collector destroys may act."""
        if self.steps - self._instant_began_at >= self._limit:
            self._watch(callback, item)
        elif not gc.isenabled() and self.steps >= self._next_collection:
            self._next_collection = self.steps + COLLECT_EVERY_STEPS
            full = self.steps >= self._next_full_collection
            gc.collect(2 if full else 1)
            self._next_full_collection *= 1 + full

    def _watch(self, callback: Callable[..., object], item: Held) -> None:
        self._busy.took_a_step(callback)
        if self._busy.steps.total() >= STEPS_WATCHED:
            text = f"at {self._now_s:.3f} s time stood still for {self.steps - self._instant_began_at} steps:"
            busy, self._busy = self._busy, Busy()
            self.resume([item])
            self._instant_began_at = self.steps  # who cleans up may take as long
            raise Livelock(f"{text}\n{busy.told()}", busy.files())

    def _generator_dropped(self, generator: AsyncGenerator[Any, Any]) -> None:
        if self.ending:
            close_silently(generator.aclose())
        else:
            self.create_task(generator.aclose())

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception") or RuntimeError(context["message"])
        error.add_note(f"{context['message']} {context.get('task') or context.get('future') or ''}".strip())
        self.troubles.append(error)

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """What is left in it never runs."""
        self.ending = self._closed = True
        self._plain.clear()
        self._arrived.clear()
        self._pool.clear()
        self._timers.clear()
        self._times.clear()

    def get_debug(self) -> bool:
        return False


for _name in OF_LOOPS:
    setattr(VirtualLoop, _name, refusal(f"{_name} of the event loop"))
