"""Who waits for what, where: the text of a simulation that can't go on."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

NAMES_SHOWN = 5
PLACES_SHOWN = 40

_LIBRARY = str(Path(asyncio.__file__).parent)
_ROOT = Path(__file__).resolve().parents[2]


class Standstill(Exception):
    """Nothing goes on any more. files: of the code that it is about, as far as that is known."""

    def __init__(self, told: str, files: Iterable[str] = ()) -> None:
        super().__init__(told)
        self.files = frozenset(files)


class Stalled(Standstill):
    """Nothing is ready, no timer is set, and the main coroutine hasn't ended: a deadlock, or an answer
    that nobody will ever give. The text says what every task waits for."""


class Livelock(Standstill):
    """Steps without end, and time stands still: some loop never sleeps. The text names the busiest."""


def place(frame: FrameType, line: int | None = None) -> str:
    """FILE:LINE in FUNCTION, the file seen from the project's folder if it lies in there. line: None: where
    the frame is now."""
    path = Path(frame.f_code.co_filename)
    if path.is_relative_to(_ROOT):
        path = path.relative_to(_ROOT)
    return f"{path}:{frame.f_lineno if line is None else line} in {frame.f_code.co_qualname}"


def _frames(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """From the outermost to the one that waits."""
    awaiting: Any = task.get_coro()
    while awaiting is not None:
        frame = getattr(awaiting, "cr_frame", None) or getattr(awaiting, "gi_frame", None)
        if frame is not None:
            yield frame
        awaiting = getattr(awaiting, "cr_await", None) or getattr(awaiting, "gi_yieldfrom", None)


def files(task: asyncio.Task[Any]) -> list[str]:
    """Of the code that it is in."""
    return [frame.f_code.co_filename for frame in _frames(task)]


def where(task: asyncio.Task[Any]) -> str:
    """The innermost line that isn't asyncio's own, and what of asyncio it waits for."""
    deepest, ours = None, None
    for frame in _frames(task):
        deepest = frame
        if not frame.f_code.co_filename.startswith(_LIBRARY):
            ours = frame
    if deepest is None:
        return "nowhere: it has ended"
    if ours is None or ours is deepest:
        return place(deepest)
    return f"{place(ours)} (asyncio's {deepest.f_code.co_qualname})"


def describe(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """One line for each place where tasks wait, the most crowded first."""
    waiting: defaultdict[str, list[str]] = defaultdict(list)
    for task in tasks:
        waiting[where(task)].append(full_name(task))
    crowds = sorted(waiting.items(), key=lambda item: -len(item[1]))
    lines = [f"  {_some(names)}: {spot}" for spot, names in crowds[:PLACES_SHOWN]]
    if len(crowds) > PLACES_SHOWN:
        lines.append(f"  … and {len(crowds) - PLACES_SHOWN} more places")
    return "\n".join(lines) or "  no task is left"


class Busy:
    """Who takes the steps of a livelock. steps: of each, by what it is called and where it is."""

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self._files: dict[str, list[str]] = {}

    def took_a_step(self, callback: Callable[..., object]) -> None:
        task = getattr(callback, "__self__", None)
        name, its_files = repr(callback), list[str]()
        if isinstance(task, asyncio.Task):
            name, its_files = f"{full_name(task)}: {where(task)}", files(task)
        self.steps[name] += 1
        self._files[name] = its_files

    def told(self) -> str:
        return "\n".join(f"  {count} steps: {name}" for name, count in self.steps.most_common(NAMES_SHOWN))

    def files(self) -> list[str]:
        """Of the code that the busiest is in."""
        return self._files[max(self.steps, key=self.steps.__getitem__)]


def full_name(task: asyncio.Task[Any]) -> str:
    owner = getattr(task, "owner", None)
    return f"{task.get_name()} of {owner.name}" if owner is not None else task.get_name()


def _some(names: list[str]) -> str:
    if len(names) <= NAMES_SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:NAMES_SHOWN])} and {len(names) - NAMES_SHOWN} more"
