"""What can't go on is ended, and says why; what went wrong unseen is seen at the end."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from scenarios.runner.virtual_time import Livelock, Stalled, run


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_a_deadlock_is_told_with_who_waits_where() -> None:
    async def wait_for_nothing() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.sleep(2)
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(wait_for_nothing(), name=f"n{number}")

    with pytest.raises(Stalled) as caught:
        run(main(), seed=0)
    text = str(caught.value)
    line = wait_for_nothing.__code__.co_firstlineno + 1
    assert text.startswith("at 2.000 s everyone waits for someone:")
    assert "n0, n1, n2, n3, n4 and 3 more" in text
    assert f"tests/model/test_virtual_time_endings.py:{line} in" in text
    assert "(asyncio's Event.wait)" in text
    assert "TaskGroup.__aexit__" in text


def test_a_loop_that_never_sleeps_is_told_by_name_and_still_cleaned_up() -> None:
    cleaned = []

    async def spin() -> None:
        try:
            while True:
                await asyncio.sleep(0)
        finally:
            cleaned.append(True)

    async def main() -> None:
        busy = asyncio.create_task(spin(), name="spinner")
        await asyncio.sleep(1)
        await busy

    with pytest.raises(
        Livelock, match=r"time stood still(.|\n)*spinner: tests/model/test_virtual_time_endings.py"
    ):
        run(main(), seed=0, steps_per_instant=5_000)
    assert cleaned == [True]


async def _fails() -> None:
    raise ValueError("nobody looks")


async def _forgets_a_failed_task() -> None:
    asyncio.create_task(_fails())  # noqa: RUF006  # that is what is tested
    await asyncio.sleep(1)


async def _leaves_one_that_fails_to_end() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("nobody looks")

    global kept
    kept = asyncio.create_task(stubborn())
    await asyncio.sleep(1)


async def _has_a_callback_that_fails() -> None:
    def fail() -> None:
        raise ValueError("nobody looks")

    asyncio.get_running_loop().call_later(0.5, fail)
    await asyncio.sleep(1)


kept: asyncio.Task[None] | None = None


@pytest.mark.parametrize(
    "main",
    [
        _forgets_a_failed_task,
        _leaves_one_that_fails_to_end,
        _has_a_callback_that_fails,
    ],
)
def test_a_failure_that_nobody_looked_at_fails_the_run(main: Any) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        run(main(), seed=0)
    assert caught.group_contains(ValueError, match="nobody looks")


def test_an_unseen_failure_is_a_note_of_what_main_raised() -> None:
    async def main() -> None:
        await _forgets_a_failed_task()
        raise KeyError("main's own")

    with pytest.raises(KeyError) as caught:
        run(main(), seed=0)
    assert any("nobody looks" in note for note in caught.value.__notes__)


async def cleans_up(for_s: float, cleaned: list[float]) -> None:
    """Runs until it is cancelled; then `cleaned` gets the moment it is done."""
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(for_s)
        cleaned.append(now_s())


def test_what_main_leaves_running_is_cancelled_and_may_clean_up() -> None:
    cleaned: list[float] = []

    async def main() -> None:
        asyncio.create_task(cleans_up(2, cleaned))  # noqa: RUF006  # that is what is tested
        await asyncio.sleep(1)

    run(main(), seed=0)
    assert cleaned == [3.0]


def test_one_that_refuses_to_end_is_told() -> None:
    async def immortal() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        asyncio.create_task(immortal(), name="immortal")  # noqa: RUF006  # that is what is tested
        await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        run(main(), seed=0)
    assert caught.group_contains(Stalled, match="didn't end within 3600 s(.|\n)*immortal")


async def exits() -> None:
    raise SystemExit(3)


def test_whoever_ends_the_interpreter_leaves_nobody_who_was_not_ended() -> None:
    """A group of tasks ends by it once more, when the others have cleaned up."""
    cleaned: list[float] = []

    beside, alone = cleans_up(2, cleaned), cleans_up(5, cleaned)

    async def main() -> None:
        asyncio.create_task(alone)  # noqa: RUF006  # as those that stories leave
        async with asyncio.TaskGroup() as group:
            group.create_task(beside)
            await asyncio.sleep(1)
            group.create_task(exits())

    playing = main()
    with pytest.raises(SystemExit):
        run(playing, seed=0)
    assert cleaned == [3.0, 6.0]
    states = {inspect.getcoroutinestate(one) for one in (playing, beside, alone)}
    assert states == {inspect.CORO_CLOSED}


def test_an_end_of_the_interpreter_that_comes_with_the_cleaning_up_is_told() -> None:
    cleaned: list[float] = []

    async def exits_when_told_to() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await exits()

    async def main() -> None:
        global kept
        kept = asyncio.create_task(cleans_up(2, cleaned))
        asyncio.create_task(exits_when_told_to())  # noqa: RUF006  # that is what is tested
        await asyncio.sleep(1)

    with pytest.raises(BaseExceptionGroup) as caught:
        run(main(), seed=0)
    assert caught.group_contains(SystemExit)
    assert cleaned == [3.0]
