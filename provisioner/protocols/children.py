from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from subprocess import DEVNULL
from typing import Protocol

from provisioner.core.errors import TransientError
from provisioner.core.readable import shortened


@dataclass(frozen=True, slots=True)
class SecretFile:
    """An argument that names a file holding a secret: `prefix`, then the path of a pipe that the child
    alone can read, once. The secret never stands in argv, the environment or on a disk."""

    prefix: str
    content: str = field(repr=False)


Argument = str | SecretFile


@dataclass(frozen=True, slots=True)
class ChildResult:
    """How a child ended. `code` is negative when a signal ended it; of texts too long the
    end is kept."""

    code: int
    stdout: str
    stderr: str

    def last_words(self) -> str:
        """The last line it complained with, shortened, or how it ended."""
        lines = [line.strip() for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        return shortened(lines[-1]) if lines else ending(self.code)

    def check_not_killed(self, tried: str, *, device: str = "") -> None:
        """Raises TransientError when a signal ended it, such as the lease guard's, or a kernel's that had no
        memory: that says nothing of what it worked on."""
        if self.code < 0:
            raise TransientError(tried, device=device, answer=ending(self.code))


def ending(code: int) -> str:
    """In words."""
    return f"its program was ended by signal {-code}" if code < 0 else f"exit code {code}"


class ChildTimedOut(TimeoutError):
    """The child was killed when its time was up; `stderr` is what it had complained by then."""

    def __init__(self, stderr: str) -> None:
        self.stderr = stderr
        super().__init__("the child's time was up")


class Child(Protocol):
    """A running child."""

    pid: int
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader

    def signal(self, number: int) -> None:
        """Sends a signal to the child; nothing when it has ended already."""
        ...

    async def wait(self) -> int:
        """Its exit code, negative when a signal ended it."""
        ...


class Children(Protocol):
    """How drivers and services start programs. A child dies with this process, however that dies.

    Both raise, naming the program, PermanentError when it isn't installed, and TransientError when this
    system has no room for another process.
    """

    async def run(
        self,
        argv: Sequence[Argument],
        *,
        timeout_s: float,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> ChildResult:
        """Runs a program to its end, its input empty. With `on_stdout`, that gets what it prints as it
        prints it, and the result's `stdout` is empty. Raises ChildTimedOut; on that, and when cancelled,
        the child is killed before this returns. What it has started in its own session is ended with it; what
        has gone into another one keeps nobody waiting."""
        ...

    def started(
        self, argv: Sequence[Argument], *, stdin: int = DEVNULL
    ) -> AbstractAsyncContextManager[Child]:
        """A program that runs while the context is entered; killed with its children at the end of it."""
        ...
