"""A file that is being written, and is gone unless it is kept."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from provisioner.core.image_digest import TreeDigest
from provisioner.services.durable import sync_folder
from provisioner.services.full_disk import storage_full_told

T = TypeVar("T")

BLOCK_BYTES = 64 * 1024  # the grain of holes
_ZEROS = bytes(BLOCK_BYTES)


class Draft:
    """Exists while entered; hashes what is appended. Its lock tells other processes that its writer lives;
    the kernel drops it with the process."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / secrets.token_hex(16)
        self.size_bytes = 0
        self._sha256 = hashlib.sha256()
        self._tree = TreeDigest()
        self._descriptor = -1

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def tree_digest(self) -> str:
        return self._tree.hexdigest()

    async def __aenter__(self) -> Draft:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        while True:
            with _room(self.path):
                self._descriptor = os.open(self.path, flags, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if os.fstat(self._descriptor).st_nlink:
                return self
            os.close(self._descriptor)  # a process that started just now took it for abandoned

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A file of many gigabytes isn't gone in no time.
        await in_thread(self._remove)

    def _remove(self) -> None:
        os.close(self._descriptor)
        self.path.unlink(missing_ok=True)

    def append(self, data: bytearray) -> None:
        """Zeros become holes. Raises StorageFull."""
        self._sha256.update(data)
        self._tree.update(data)
        with _room(self.path), memoryview(data) as view:
            for start, end in _data_runs(view):
                offset = self.size_bytes + start
                with view[start:end] as left:
                    self._write(left, offset)
            self.size_bytes += len(data)
            os.truncate(self._descriptor, self.size_bytes)

    def _write(self, data: memoryview, offset: int) -> None:
        written = 0
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], offset + written)

    def resize(self, size_bytes: int) -> None:
        """Makes it a hole of this size."""
        with _room(self.path):
            os.truncate(self._descriptor, size_bytes)

    def head(self, size_bytes: int) -> bytes:
        return os.pread(self._descriptor, size_bytes, 0)

    def sync(self) -> None:
        """What was appended is on the disk when this returns: `keep_as` takes no time then."""
        with _room(self.path):
            os.fsync(self._descriptor)

    def keep_as(self, path: Path) -> None:
        """Puts it there, on the disk when this returns. What lies there already has the same content."""
        self.sync()
        with _room(path):
            self.path.replace(path)
            sync_folder(path.parent)


def _data_runs(view: memoryview) -> Iterator[tuple[int, int]]:
    """Where anything but whole blocks of zeros lies, as (start, end)."""
    begun: int | None = None
    for start in range(0, len(view), BLOCK_BYTES):
        if _ZEROS.startswith(view[start : start + BLOCK_BYTES]):
            if begun is not None:
                yield begun, start
            begun = None
        elif begun is None:
            begun = start
    if begun is not None:
        yield begun, len(view)


def remove_abandoned(folder: Path) -> None:
    """Removes the drafts whose writers are dead."""
    for path in folder.iterdir():
        # For writing: of what is open for reading, NFS gives no exclusive lock. Source: flock(2)
        with suppress(FileNotFoundError, BlockingIOError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _room(path: Path) -> AbstractContextManager[None]:
    return storage_full_told("save the image", path.parent, "Delete images, or make room on its file system")


async def in_thread(work: Callable[[], T]) -> T:
    """Runs it on a thread. A cancelled caller waits until the thread has let go of the draft."""
    return await to_its_end(asyncio.to_thread(work))


async def to_its_end(work: Awaitable[T]) -> T:
    """Awaits it. A cancelled caller waits until it has ended."""
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
