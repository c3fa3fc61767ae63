"""The file of the keys that seal stored secrets: one a line; the first one seals, all of them open."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from provisioner.core.errors import PermanentError
from provisioner.services.durable import sync_folder

Keys = tuple[str, ...]
Stamp = tuple[int, int, int]
"""When it was written, in ns, and what else tells one file from another."""

NO_FILE: Stamp = (0, 0, 0)


class KeyFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Makes the file, with a new key and readable by its owner only, when there is none: at the first
        start alone. Raises PermanentError when it can't be made."""
        try:
            if not self.path.exists():
                _create(self.path)
        except OSError as error:
            raise PermanentError(
                f"make the key file {self.path}",
                answer=str(error.strerror),
                advice="Its folder must be there, and writable at the first start",
            ) from None

    def read(self) -> Keys:
        """Raises PermanentError when it can't be read, holds no key, or others may read it."""
        try:
            mode = stat.S_IMODE(self.path.stat().st_mode)
            keys = self.path.read_text("ascii").split()
        except (OSError, UnicodeDecodeError) as error:
            answer = error.strerror if isinstance(error, OSError) else "it isn't text"
            raise PermanentError(
                f"read the key file {self.path}",
                answer=str(answer),
                advice="Restore it from a backup",
            ) from None
        if mode & 0o077:
            raise PermanentError(
                f"use the key file {self.path}",
                answer=f"its mode {mode:04o} lets others read it",
                advice=f"chmod 600 {self.path}, and consider the secrets known if others use this machine",
            )
        if not keys:
            raise PermanentError(
                f"use the key file {self.path}", answer="it is empty", advice="Restore it from a backup"
            )
        return tuple(keys)

    def stamp(self) -> Stamp:
        """Another one when the file has changed. To be taken before the file is read: a change in between
        is seen the next time then."""
        try:
            found = self.path.stat()
        except OSError:
            return NO_FILE
        return found.st_mtime_ns, found.st_ino, found.st_size

    def change(self, change: Callable[[Keys], Keys]) -> Keys:
        """Replaces the keys, whole or not at all; of two that do so at once, one waits for the other."""
        with self._locked():
            keys = change(self.read())
            draft = _draft(self.path, "\n".join(keys) + "\n")
            draft.replace(self.path)
            sync_folder(self.path.parent)
        return keys

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The folder: the file itself is another one afterwards.
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def new_key() -> str:
    return Fernet.generate_key().decode("ascii")


def _create(path: Path) -> None:
    # Linked, not renamed: of two processes that do so at once, one wins.
    draft = _draft(path, new_key() + "\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
    sync_folder(path.parent)


def _draft(path: Path, text: str) -> Path:
    """The content in a file beside it, on the disk."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft
