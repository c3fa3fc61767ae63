"""Whose defect it is that a story of the model comes upon: the provisioner's, or the lab's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from provisioner.core.errors import ProvisionerError
from scenarios.runner import reality, virtual_loop
from scenarios.runner.stage import NotBegun
from scenarios.runner.waits import Standstill, place

ADDRESS = re.compile(r"\b0x[0-9a-f]+")
"""Of an object, as its usual `repr` has it."""

ROOT = Path(__file__).parents[3]
LAB, PROVISIONER = (ROOT / "scenarios", ROOT / "bmsim"), ROOT / "provisioner"
"""Whose code runs in a process of the model."""

LOOP, REFUSES = virtual_loop.__file__, reality.__file__
"""The lab's too, and at fault for nothing: one runs every task, one says no to whoever asks for the world."""


def leaves(error: BaseException | None) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    elif error is not None:
        yield error


def is_of_provisioner(error: BaseException) -> bool:
    """Whether the innermost code of ours that it came through is the provisioner's: libraries are called.
    Where none of ours is seen it isn't the lab's, which has no tasks of libraries alone."""
    if isinstance(error, ProvisionerError | NotBegun):
        return True  # the lab's devices answer by the first: who lets it pass has forgotten it
    if isinstance(error, Standstill):
        return any(Path(file).is_relative_to(PROVISIONER) for file in error.files)
    innermost = _innermost(error)
    return innermost is None or _file(innermost).is_relative_to(PROVISIONER)


def in_words(error: BaseException) -> str:
    """One line, and the same each time: where something lies in memory is another place in each playing."""
    told = f"{type(error).__name__}: {error}"
    if isinstance(error, Standstill):
        told = str(error)
    elif (raised := _innermost(error) or _last(error.__traceback__)) is not None:
        told += f" ({place(raised.tb_frame, raised.tb_lineno)})"
    return ADDRESS.sub("0x…", told)


def _innermost(error: BaseException) -> TracebackType | None:
    found, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == LOOP:
            found = None  # what ran the loop isn't what runs in it
        elif any(_file(trace).is_relative_to(folder) for folder in (*LAB, PROVISIONER)):
            found = found if trace.tb_frame.f_code.co_filename == REFUSES else trace
        trace = trace.tb_next
    return found


def _last(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def _file(trace: TracebackType) -> Path:
    return Path(trace.tb_frame.f_code.co_filename)
