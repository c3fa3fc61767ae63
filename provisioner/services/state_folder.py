"""The folder that a provisioner keeps its state in, and the proof that it is the only one there."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from provisioner.core.errors import Conflict, PermanentError
from provisioner.protocols.ids import Ids
from provisioner.services.daemon import replace_file


class StateFolder:
    """Holds the folder's lock while entered; with a `role` the lock of that role, beside which processes of
    other roles may use the folder. The kernel lets go of it when the process dies, however it dies; the lock
    file holds the process id of the last holder."""

    def __init__(self, path: Path, role: str = "") -> None:
        self.path = path
        self._role = role
        self._locks: list[int] = []

    def __enter__(self) -> StateFolder:
        try:
            self._make()
            self._take(self.path / "lock", fcntl.LOCK_SH if self._role else fcntl.LOCK_EX)
            if self._role:
                self._take(self.path / f"lock.{self._role}", fcntl.LOCK_EX)
        except BaseException:
            self._let_go()
            raise
        return self

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise self._unusable(error) from error

    def _take(self, file: Path, kind: int) -> None:
        """Raises Conflict, or PermanentError when it can't be made."""
        try:
            self._locks.append(_locked(file, kind))
        except BlockingIOError as error:
            raise Conflict(
                f"use the state folder {self.path}",
                answer=f"process {self._holder(file)} uses it",
                advice="Stop that process, or give this one a state_dir of its own",
            ) from error
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> PermanentError:
        return PermanentError(
            f"open the state folder {self.path}",
            answer=error.strerror or str(error),
            advice="Set state_dir in the configuration to a folder that this user may write",
        )

    def _holder(self, file: Path) -> str:
        """Who has the lock that this process wants: for all roles, whoever has one of them."""
        held = [] if self._role else [path for path in sorted(self.path.glob("lock.*")) if _is_locked(path)]
        texts = [path.read_text(errors="replace") for path in held or (file,)]
        return " and ".join(text.strip() for text in texts if text.strip()) or "unknown"

    def _let_go(self) -> None:
        while self._locks:
            os.close(self._locks.pop())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()


class OnlyUser:
    """Holds the lock of a file that one process at a time may use, while entered."""

    def __init__(self, path: Path, advice: str) -> None:
        self._path = path
        self._advice = advice
        self._lock: int | None = None

    def __enter__(self) -> None:
        file = self._path.with_name(f"{self._path.name}.compute")
        try:
            self._lock = _locked(file, fcntl.LOCK_EX)
        except BlockingIOError as error:
            holder = file.read_text(errors="replace").strip()
            raise Conflict(
                f"use {self._path}",
                answer=f"process {holder or 'unknown'} uses it",
                advice=self._advice,
            ) from error
        except OSError as error:
            raise PermanentError(
                f"lock {file}",
                answer=error.strerror or str(error),
                advice="Its folder must exist and be writable by the provisioner",
            ) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(file: Path, kind: int) -> int:
    """The descriptor that holds the lock; an exclusive one says in the file whose it is. Raises
    BlockingIOError when another process has it, OSError when the file can't be made."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
        if kind == fcntl.LOCK_EX:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def holder_of(path: Path, ids: Ids, *, boot: str = "") -> str:
    """Who this folder's provisioner is, for as long as the folder is there: a process that has locked it
    knows that no other one acts under this name. Raises PermanentError.

    boot: tells this machine, as it was started last, from all others: a folder may have been copied, or be
    another machine's whose lock isn't seen here. Empty where there can be no other. From copies on the same
    machine the number of the lock's file tells it.
    """
    file = path / "holder"
    try:
        if file.exists():
            holder = file.read_text(encoding="utf-8").strip()
        else:
            holder = ids.uuid()
            replace_file(file, f"{holder}\n")
        if not boot:
            return holder
        lock = (path / "lock").stat()
        return f"{holder} {boot} {lock.st_dev}:{lock.st_ino}"
    except OSError as error:
        raise PermanentError(
            f"keep {file}",
            answer=error.strerror or str(error),
            advice="The state folder must be writable, and its file system not be full",
        ) from error
