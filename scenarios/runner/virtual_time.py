"""Runs a story in virtual time: `run(main(), seed)`, as `asyncio.run` would on a real clock."""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from scenarios.runner.virtual_loop import STEPS_PER_INSTANT, VirtualLoop
from scenarios.runner.virtual_tasks import SimTask, close_silently
from scenarios.runner.waits import Livelock, Stalled, describe, files

__all__ = ["Livelock", "Stalled", "VirtualLoop", "run"]

T = TypeVar("T")

COLLECT_EVERY = 64
"""Stories; a collection takes a third of one."""

_PLAYED = itertools.count(1)

CLEANUP_S = 3600.0
"""Of virtual time: what was cancelled and hasn't ended by then never will."""


def run(
    main: Coroutine[Any, Any, T],
    seed: int,
    *,
    steps_per_instant: int = STEPS_PER_INSTANT,
    unseen: list[BaseException] | None = None,
) -> T:
    """What `main` returns or raises. Ends whatever else still runs then; nothing outlives the call.

    Raises Stalled or Livelock when it can't go on, and an ExceptionGroup when it ended well but tasks or
    callbacks had failed without anyone looking at it. Those are notes of `main`'s own exception, if any.
    unseen: where such failures go instead.
    """
    loop = VirtualLoop(seed, steps_per_instant=steps_per_instant)
    with _steady_memory():
        try:
            result: T = loop.run_until_complete(main)
        except BaseException as error:
            troubles = [one for one in _end(loop) if one is not error]
            if unseen is not None:
                unseen += troubles
            else:
                for trouble in troubles:
                    error.add_note(f"unnoticed before: {trouble!r}")
            raise
        troubles = _end(loop)
        if unseen is not None:
            unseen += troubles
        elif troubles:
            raise BaseExceptionGroup("failed without anyone looking at it", troubles)
        return result


def _end(loop: VirtualLoop) -> list[BaseException]:
    """Cancels what runs, closes what can't run any more. Returns what had gone wrong unseen."""
    try:
        while left := _running(loop):
            _cancel(loop, left)
    except (Stalled, Livelock) as error:
        loop.troubles.append(error)
    finally:
        _close(loop)
    return list(dict.fromkeys(loop.troubles))  # a group of tasks raises what one of them ended by


def _cancel(loop: VirtualLoop, left: list[SimTask]) -> None:
    """Raises Stalled, Livelock, and SystemExit of whoever ends the command."""
    for task in left:
        task.cancel()
    _wait(loop, left)
    loop.troubles += [error for task in left if (error := _failure(task)) is not None]
    if stuck := [task for task in left if not task.done()]:
        told = f"cancelled, and didn't end within {CLEANUP_S:.0f} s:\n{describe(stuck)}"
        raise Stalled(told, [file for task in stuck for file in files(task)])


def _wait(loop: VirtualLoop, left: list[SimTask]) -> None:
    """A task that ends by SystemExit ends the loop's run with it, and the others have yet to end: each does
    so once, and a group of tasks after one of its own."""
    while True:
        try:
            loop.run_until_complete(asyncio.wait(left, timeout=CLEANUP_S))
            return
        except SystemExit as ended:
            if all(_failure(task) is not ended for task in left):
                raise


def _close(loop: VirtualLoop) -> None:
    loop.ending = True
    with _unraisable_ignored():
        remaining = loop.tasks()
        for owner in dict.fromkeys(task.owner for task in remaining if task.owner is not None):
            owner.close()
        for task in remaining:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own switch
            close_silently(task.get_coro())
        loop.close()
        remaining.clear()
        gc.collect()  # here, tasks tell of exceptions that nobody fetched


def _running(loop: VirtualLoop) -> list[SimTask]:
    return [task for task in loop.tasks() if task.owner is None or not task.owner.halted]


def _failure(task: SimTask) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


@contextmanager
def _steady_memory() -> Iterator[None]:
    """Collects garbage when the loop says so: between other steps, another seed's order could come of it.
    What lived before the story isn't looked at meanwhile, which also makes it fast."""
    was_enabled = gc.isenabled()
    gc.disable()
    if not next(_PLAYED) % COLLECT_EVERY:
        # What stories before this one left would be frozen again and again, and never found.
        gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


@contextmanager
def _unraisable_ignored() -> Iterator[None]:
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = hook
