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
    """Holds the folder's lock while entered. The kernel lets go of it when the process dies, however
    it dies; the lock file holds the process id of the last holder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def __enter__(self) -> StateFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PermanentError(
                f"open the state folder {self.path}",
                answer=error.strerror or str(error),
                advice="Set state_dir in the configuration to a folder that this user may write",
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._lock, 32).decode(errors="replace").strip()
            os.close(self._lock)
            self._lock = None
            raise Conflict(
                f"use the state folder {self.path}",
                answer=f"process {holder or 'unknown'} uses it",
                advice="Stop that process, or give this one a state_dir of its own",
            ) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def holder_of(path: Path, ids: Ids) -> str:
    """Who this folder's provisioner is, for as long as the folder is there: a process that has locked it
    knows that no other one acts under this name. Raises PermanentError."""
    file = path / "holder"
    try:
        if file.exists():
            return file.read_text(encoding="utf-8").strip()
        holder = ids.uuid()
        replace_file(file, f"{holder}\n")
        return holder
    except OSError as error:
        raise PermanentError(
            f"keep {file}",
            answer=error.strerror or str(error),
            advice="The state folder must be writable, and its file system not be full",
        ) from error
