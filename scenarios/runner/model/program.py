"""A program on a compute host of the model, as the provisioner starts it."""

from __future__ import annotations

import asyncio
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from subprocess import DEVNULL
from typing import Any, ClassVar, Protocol, TypeVar

from provisioner.core.errors import PermanentError
from provisioner.protocols.children import Argument, Child, ChildResult, ChildTimedOut
from scenarios.runner.model.children import ChildKilled

T = TypeVar("T")

START_S = 0.02
"""What starting it takes."""


class RunsChildren(Protocol):
    async def run(self, name: str, work: Coroutine[Any, Any, T]) -> T:
        """As `ModelChildren.run`."""
        ...


class ModelProgram(ABC):
    """`provisioner.protocols.children.Children` of one compute host, for this program alone.

    children: of the process that starts it
    """

    name: ClassVar[str]

    def __init__(self, children: RunsChildren) -> None:
        self._children = children

    async def run(
        self,
        argv: Sequence[Argument],
        *,
        timeout_s: float,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> ChildResult:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._children.run(self.name, self._started(argv))
        except TimeoutError:
            raise ChildTimedOut("") from None
        except ChildKilled:
            return ChildResult(-signal.SIGKILL, "", "")

    def started(
        self, argv: Sequence[Argument], *, stdin: int = DEVNULL
    ) -> AbstractAsyncContextManager[Child]:
        raise PermanentError(f"start {argv[0]}", answer=f"the model's {self.name} runs to its end")

    async def _started(self, argv: Sequence[Argument]) -> ChildResult:
        await asyncio.sleep(START_S)
        return await self._run(argv)

    @abstractmethod
    async def _run(self, argv: Sequence[Argument]) -> ChildResult: ...
