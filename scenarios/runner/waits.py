"""Who waits for what, where: the text of a simulation that can't go on."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

NAMES_SHOWN = 5
PLACES_SHOWN = 40

_LIBRARY = str(Path(asyncio.__file__).parent)
_ROOT = Path(__file__).resolve().parents[2]


class Stalled(Exception):
    """Nothing is ready, no timer is set, and the main coroutine hasn't ended: a deadlock, or an answer
    that nobody will ever give. The text says what every task waits for."""


class Livelock(Exception):
    """Steps without end, and time stands still: some loop never sleeps. The text names the busiest."""


def place(frame: FrameType) -> str:
    """FILE:LINE in FUNCTION, the file seen from the project's folder if it lies in there."""
    path = Path(frame.f_code.co_filename)
    if path.is_relative_to(_ROOT):
        path = path.relative_to(_ROOT)
    return f"{path}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def where(task: asyncio.Task[Any]) -> str:
    """The innermost line that isn't asyncio's own, and what of asyncio it waits for."""
    deepest, ours = None, None
    awaiting: Any = task.get_coro()
    while awaiting is not None:
        frame = getattr(awaiting, "cr_frame", None) or getattr(awaiting, "gi_frame", None)
        if frame is not None:
            deepest = frame
            if not frame.f_code.co_filename.startswith(_LIBRARY):
                ours = frame
        awaiting = getattr(awaiting, "cr_await", None) or getattr(awaiting, "gi_yieldfrom", None)
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


def busiest(steps: Counter[str]) -> str:
    return "\n".join(f"  {count} steps: {name}" for name, count in steps.most_common(NAMES_SHOWN))


def full_name(task: asyncio.Task[Any]) -> str:
    owner = getattr(task, "owner", None)
    return f"{task.get_name()} of {owner.name}" if owner is not None else task.get_name()


def _some(names: list[str]) -> str:
    if len(names) <= NAMES_SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:NAMES_SHOWN])} and {len(names) - NAMES_SHOWN} more"
