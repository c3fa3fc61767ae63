"""Locks among all processes that use one folder of images, on whichever machines they run.

By flock(2): the kernel lets go of a lock with the process that has it, a file server with the machine.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from errno import EACCES, EINVAL, EISDIR, ENOLCK, ENOSYS, ENOTDIR, EOPNOTSUPP, EPERM, EROFS
from pathlib import Path

from provisioner.core.errors import BeingReceived, ImagesAway, PermanentError, TransientError
from provisioner.services.draft import remove_abandoned
from provisioner.services.full_disk import storage_full_told

WAIT_S = 30.0
POLL_S = 0.05
"""flock has no end of waiting but by a signal, and a thread that waits in it can't be cancelled."""

_LASTING = frozenset((EACCES, EINVAL, EISDIR, ENOLCK, ENOSYS, ENOTDIR, EOPNOTSUPP, EPERM, EROFS))
"""Until somebody changes the folder or its file system. All else passes: ETIMEDOUT, EIO and ESTALE come of a
file server that is away, EMFILE of what else is open."""


class ImageLocks:
    """Files below `root`, made when they are missing: `lock`, and `receiving/<image's id>`."""

    def __init__(self, root: Path) -> None:
        self._lock = root / "lock"
        self._receiving = root / "receiving"
        self._here = asyncio.Lock()

    @asynccontextmanager
    async def alone(self, wait_s: float | None = WAIT_S) -> AsyncIterator[None]:
        """Entered by one at a time, of the tasks of all processes. wait_s: for its turn; None: for as long as
        it takes. Raises TransientError when its turn didn't come, and what `locked` does."""
        with ExitStack() as held:
            try:
                async with asyncio.timeout(wait_s):
                    await self._here.acquire()
                    held.callback(self._here.release)
                    while (descriptor := locked(self._lock)) is None:  # noqa: ASYNC110 - of another process
                        await asyncio.sleep(POLL_S)
                    held.callback(os.close, descriptor)
            except TimeoutError as error:
                raise TransientError(
                    f"lock {self._lock}",
                    answer=f"another one had it for {wait_s} s",
                    advice="Try again; if it goes on, look for a process of the API that stands still",
                ) from error
            yield

    @asynccontextmanager
    async def receiving(self, image_id: str) -> AsyncIterator[None]:
        """Entered by one at a time, as long as the image's bytes come. Raises BeingReceived when another one
        is in it, whoever that is; and what `alone` does.

        What is left of earlier ones is removed by the next, while it is alone: nobody may lock a file that
        has just lost its name.
        """
        with ExitStack() as held:
            async with self.alone():
                descriptor = self._take(image_id)
                if descriptor is not None:
                    held.callback(os.close, descriptor)
            if descriptor is None:
                raise BeingReceived(
                    f"receive the bytes of image {image_id}",
                    answer="they are being received already",
                    advice="Wait until they have come, or are given up",
                )
            yield

    def _take(self, image_id: str) -> int | None:
        with _told(self._receiving):
            self._receiving.mkdir(mode=0o700, exist_ok=True)
            remove_abandoned(self._receiving)
        return locked(self._receiving / image_id)


def locked(path: Path) -> int | None:
    """A descriptor that has the file's lock for as long as it is open; None when another one has it. Raises
    StorageFull, PermanentError (the file can't be made, or its file system has no locks), ImagesAway."""
    with _told(path), storage_full_told(f"lock {path}", path.parent, "Make room on its file system"):
        # For writing: of what is open for reading, NFS gives no exclusive lock. Source: flock(2)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return None
            raise
        return descriptor


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        tried, answer = f"lock {path}", error.strerror or str(error)
        if error.errno not in _LASTING:
            advice = "Try again; if it goes on, look at the file system of images_dir, and its server"
            raise ImagesAway(tried, answer=answer, advice=advice) from error
        raise PermanentError(
            tried,
            answer=answer,
            advice="images_dir must be writable, and its file system have locks (NFS: no mount with nolock)",
        ) from error
