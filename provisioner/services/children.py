"""The one way this program starts another one: nothing that it starts outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from errno import EAGAIN, ENOMEM
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from provisioner.core.errors import HostLacks, PermanentError, TransientError
from provisioner.protocols.children import Argument, ChildResult, ChildTimedOut, SecretFile
from provisioner.services import descriptors

MAX_OUTPUT_BYTES = 256 * 1024
"""Kept of the end of each of a child's outputs, where its answer stands and what it complained of last; what
came before is dropped, so that it never blocks."""

REAP_TIMEOUT_S = 5.0
"""For a killed child to be gone; longer only when it hangs in the kernel (dead NFS, dead disk)."""

LEFT_POLL_S = 0.25
GRACE_S = 2.0
"""For what an ended child has said to be read."""

PIPE_BYTES = 4096
"""What the smallest pipe holds (PIPE_BUF): a secret must fit, since nobody reads it before the child."""

# setpriv asks the kernel to kill the child when the thread that started it is gone (prctl(2),
# PR_SET_PDEATHSIG; the event loop's thread lives as long as the process). A parent that died before
# that leaves an orphan that nobody signals: the shell sees another parent then, and doesn't start it.
# Two small programs rather than a preexec_fn: no Python runs between fork and exec of a process with threads.
_PROLOGUE = ("setpriv", "--pdeathsig", "KILL", "sh", "-c")
_GUARD = (*_PROLOGUE, '[ "$PPID" = "$0" ] && exec "$@"')

# What the program itself starts isn't signalled by the kernel. So the shell tells by its standard input who
# it is, before the program begins: nothing that comes of it can be missed. (By its input, since shells can
# close none but the first ten descriptors.) A pipe that is full, since nobody has read it for long, keeps it
# from nothing.
_TELLING_GUARD = (
    *_PROLOGUE,
    '[ "$PPID" = "$0" ] || exit; { echo "child $$" >&0; } 2>/dev/null; exec "$@" </dev/null',
)

_KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR")

_SHORTAGES = (*descriptors.SHORTAGES, EAGAIN, ENOMEM)
"""Of processes and of memory, too."""


def watch_without_threads() -> None:
    """For the loop that runs. Python 3.11 gives each child a thread, made after the child: where the
    system has no room for it, the child runs on and nobody knows of it."""
    if sys.version_info < (3, 12) and _can_watch():
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(asyncio.get_running_loop())
        asyncio.set_child_watcher(watcher)


def _can_watch() -> bool:
    """Old kernels, and containers that forbid it, have no pidfd_open(2)."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


class SystemChild:
    """`protocols.children.Child` of a process of this machine."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None and process.stderr is not None
        self._process = process
        self._group_ended = False
        self.pid = process.pid
        self.stdout = process.stdout
        self.stderr = process.stderr

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def wait(self) -> int:
        return await self._process.wait()

    async def end_what_it_leaves(self) -> None:
        """When it has ended: what it started may hold its outputs open for ever, and nobody has waited for it
        until they are closed."""
        while self._process.returncode is None:  # noqa: ASYNC110  # told of by nothing, as long as those are open
            await asyncio.sleep(LEFT_POLL_S)
        self._kill_group()

    async def end_with_it(self) -> None:
        """The same, of one whose outputs somebody reads as long as they are open."""
        await self._process.wait()
        self._kill_group()

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def _kill_group(self) -> None:
        """Of the session that it leads. While it runs, or somebody is left in its group, its number is nobody
        else's; so once it has ended that is done once, and not when another process has the number."""
        if self._group_ended or (self.returncode is not None and Path(f"/proc/{self.pid}").exists()):
            return
        self._group_ended = self.returncode is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def kill(self) -> None:
        """Ends the child and whatever it started; bounded."""
        self._kill_group()
        if self.returncode is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REAP_TIMEOUT_S):
                    await self._process.wait()
        # Else its pipes stay open as long as somebody holds their other ends, and the loop knows of them.
        self._process._transport.close()  # type: ignore[attr-defined]


class SystemChildren:
    """`protocols.children.Children` by fork and exec. Use from the main thread's event loop.

    told: a pipe by which it is told of each child, `child PID`, before its program begins; when that has an
    input, as soon as it has begun. Each leads a session of its own.
    """

    def __init__(self, told: int | None = None) -> None:
        self._told = told
        self.running: set[int] = set()
        """Their process ids."""

    async def run(
        self,
        argv: Sequence[Argument],
        *,
        timeout_s: float,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> ChildResult:
        stdout, stderr = bytearray(), bytearray()
        keep = on_stdout or (lambda data: _keep(stdout, data))
        async with self.started(argv) as child:
            leftovers = asyncio.create_task(child.end_what_it_leaves())
            running = asyncio.gather(
                _drain(child.stdout, keep),
                _drain(child.stderr, lambda data: _keep(stderr, data)),
                child.wait(),
            )
            try:
                async with asyncio.timeout(timeout_s):
                    either: set[asyncio.Future[Any]] = {running, leftovers}
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                    # What has gone into a session of its own may hold the outputs for ever.
                    await asyncio.wait({running}, timeout=GRACE_S)
            except TimeoutError:
                raise ChildTimedOut(stderr.decode("utf-8", "replace")) from None
            finally:
                leftovers.cancel()
                if held := not running.done():
                    running.cancel()
                    await asyncio.wait({running})
                    # Looked at: else asyncio logs it as an error that nobody has heard of.
                    if not running.cancelled():
                        running.exception()
            if not held:
                running.result()
            code = child.returncode
            assert code is not None
        return ChildResult(code, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))

    @asynccontextmanager
    async def started(self, argv: Sequence[Argument], *, stdin: int = DEVNULL) -> AsyncIterator[SystemChild]:
        _check_installed(argv[0])
        with _shortage_told(argv[0]), ExitStack() as secrets:
            words, fds = _with_secret_files(argv, secrets)
            tells = self._told is not None and stdin == DEVNULL
            process = await _begun(
                asyncio.create_subprocess_exec(
                    *(_TELLING_GUARD if tells else _GUARD),
                    str(os.getpid()),
                    *words,
                    stdin=self._told if tells else stdin,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    pass_fds=fds,
                    start_new_session=True,
                    # Answers are parsed, so they must come in one language.
                    env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
                    | {"LC_ALL": "C"},
                )
            )
        child = SystemChild(process)
        self.running.add(child.pid)
        if self._told is not None and not tells:
            with contextlib.suppress(BlockingIOError):
                os.write(self._told, f"child {child.pid}\n".encode())
        ending = asyncio.create_task(child.end_with_it())
        try:
            yield child
        finally:
            ending.cancel()
            self.running.discard(child.pid)
            # A second cancellation must not leave the child behind.
            await asyncio.shield(asyncio.ensure_future(child.kill()))


async def _begun(start: Coroutine[Any, Any, asyncio.subprocess.Process]) -> asyncio.subprocess.Process:
    """What `start` gives; when cancelled, that is ended as any child is. asyncio would end the program alone,
    not what that has started, and wait for ever for pipes that aren't connected yet (3.11)."""
    starting = asyncio.ensure_future(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.shield(asyncio.ensure_future(_end(starting)))
        raise


async def _end(starting: asyncio.Future[asyncio.subprocess.Process]) -> None:
    await asyncio.wait([starting])
    if starting.exception() is None:
        await SystemChild(starting.result()).kill()


@contextlib.contextmanager
def _shortage_told(program: Argument) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _SHORTAGES:
            raise
        raise TransientError(
            f"start {program}",
            answer=os.strerror(error.errno),
            advice="Is there memory, and are the limits of processes and open files high enough?",
        ) from error


def _check_installed(program: Argument) -> None:
    if not isinstance(program, str) or shutil.which(program) is None:
        raise HostLacks(
            f"start {program}", answer="it is not installed", advice="Install the package that brings it"
        )


def _with_secret_files(argv: Sequence[Argument], stack: ExitStack) -> tuple[list[str], tuple[int, ...]]:
    """argv with each secret replaced by the path of a pipe that holds it, and those pipes."""
    words: list[str] = []
    fds: list[int] = []
    for argument in argv:
        if isinstance(argument, str):
            words.append(argument)
            continue
        fd = _pipe_holding(argument, stack)
        fds.append(fd)
        words.append(f"{argument.prefix}/dev/fd/{fd}")
    return words, tuple(fds)


def _pipe_holding(secret: SecretFile, stack: ExitStack) -> int:
    content = secret.content.encode()
    if len(content) > PIPE_BYTES:
        raise PermanentError("hand a secret to a child", answer=f"it is longer than {PIPE_BYTES} bytes")
    reading, writing = os.pipe2(os.O_CLOEXEC)
    stack.callback(os.close, reading)
    try:
        os.write(writing, content)
    finally:
        os.close(writing)
    return reading


async def _drain(stream: asyncio.StreamReader, on_data: Callable[[bytes], None]) -> None:
    while data := await stream.read(65536):
        on_data(data)


def _keep(kept: bytearray, data: bytes) -> None:
    kept += data
    del kept[: max(0, len(kept) - MAX_OUTPUT_BYTES)]
