"""The hands of a running command: its progress, its cancellation, its child processes."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from typing import Any

from provisioner.agent.errors import Cancelled, CommandError

POLL_S = 0.2
STDERR_SHOWN_CHARS = 800


class Job:
    def __init__(self) -> None:
        self._reason: tuple[str, str] | None = None
        self._cancelled = threading.Event()
        self._progress: tuple[int, int] | None = None

    def cancel(self, code: str, message: str) -> None:
        """From any thread; the command ends at its next check, a child process is killed."""
        if self._reason is None:
            self._reason = (code, message)
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raises Cancelled when the command was given up: call it between pieces of work."""
        if self._reason is not None:
            raise Cancelled(*self._reason)

    def wait(self, seconds: float) -> None:
        """Pauses; raises Cancelled at once when the command is given up meanwhile."""
        self._cancelled.wait(seconds)
        self.check()

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        self._progress = (done_bytes, total_bytes)

    def progress_view(self) -> dict[str, int] | None:
        if self._progress is None:
            return None
        return {"done_bytes": self._progress[0], "total_bytes": self._progress[1]}

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", ok: Sequence[int] = (0,), code: str = "tool-failed"
    ) -> tuple[int, bytes]:
        """Runs a short-lived program to its end: its exit status and output. (Should the agent itself die
        meanwhile, the ramdisk's init ends the program before it starts the next agent.)

        Raises CommandError with `code` and the program's own words when its status isn't in `ok`,
        Cancelled (the program is killed first). Secrets go through stdin: argv is for all to see.
        """
        self.check()
        try:
            pipe = subprocess.PIPE
            child = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise CommandError(code, f"can't start {argv[0]}: {error}") from error
        with child:
            out, err = self._communicate(child, stdin)
        status = child.returncode
        if status not in ok:
            words = err.decode(errors="replace").strip() or out.decode(errors="replace").strip()
            raise CommandError(
                code, f"{' '.join(argv)} ended with status {status}: {words[-STDERR_SHOWN_CHARS:]}"
            )
        return status, out

    def _communicate(self, child: subprocess.Popen[bytes], stdin: bytes) -> tuple[bytes, bytes]:
        data: bytes | None = stdin
        while True:
            try:
                return child.communicate(data, timeout=POLL_S)
            except subprocess.TimeoutExpired:
                data = None  # communicate keeps what it has not sent yet
            if self.cancelled:
                child.kill()
                child.communicate()
                self.check()


def spawn_daemon(argv: Sequence[str], **kwargs: Any) -> subprocess.Popen[bytes]:
    """Starts a program that is killed when the thread that started it ends.

    setpriv sets the death signal: prctl(2) counts the thread, not the process, as the parent, so only
    the command thread, which lives as long as the agent, may call this.
    """
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *argv], **kwargs)
