"""Folders that are nobody's until they are whole, on a file system that hosts may share."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import structlog

from provisioner.core.errors import TransientError
from provisioner.services.draft import in_thread
from provisioner.services.full_disk import storage_full_told
from provisioner.services.tenant_tree import remove_tree

log = structlog.get_logger(__name__)

T = TypeVar("T")

LETS_GO_S = 2.0
"""Who is cancelled waits for so long for a folder's removal, which goes on by itself: on storage that hosts
share, that of a root takes minutes, and a host that is to end lets its lease go when its work has ended."""

MOST_DRAFTS = 10
"""Made for one that is wanted, whose lock somebody else had."""

ABANDONED_S = 6 * 3600.0
"""Whoever works on a draft ends before: its steps, each within TIMEOUT_S, aren't a handful."""


class DraftFolders:
    """Those of this process, and what is left of others."""

    def __init__(self, folder: Path, host: str) -> None:
        """folder: where all lie. host: our name among those that share it: on many such storages no lock
        of theirs is seen here."""
        self._folder = folder
        self._host, self._own = host, f"{host}@{secrets.token_hex(8)}"
        self._removals: set[asyncio.Future[Any]] = set()

    @contextlib.asynccontextmanager
    async def draft(self, becomes: str = "") -> AsyncIterator[Path]:
        """A folder that is gone when this is left, or soon after that when it is left in a hurry. Its lock
        tells other processes of this host that its maker lives. becomes: the name that it is to have, told
        by its own."""
        folder, descriptor = self._made(becomes)
        patience_s: float | None = None
        try:
            yield folder
        except asyncio.CancelledError:
            patience_s = LETS_GO_S
            raise
        finally:
            os.close(descriptor)
            removing = self._going_on(in_thread(lambda: _remove_what_can_be(folder)))
            await asyncio.wait([removing], timeout=patience_s)

    def _made(self, becomes: str) -> tuple[Path, int]:
        """A new one, and the descriptor that holds its lock."""
        for _ in range(MOST_DRAFTS):
            folder = self._folder / f"{self._own}{secrets.token_hex(8)}{'@' if becomes else ''}{becomes}"
            with storage_full_told("make a root directory", self._folder, "Make room on its file system"):
                folder.mkdir(mode=0o700)
            if (held := hold(folder, fcntl.LOCK_EX)) is not None:
                return folder, held
            with contextlib.suppress(OSError):
                folder.rmdir()  # a process that looks for abandoned ones just now has its lock, or removed it
        raise TransientError(
            "make a root directory",
            device=f"folder {self._folder}",
            answer=f"the lock of a new folder was another process's {MOST_DRAFTS} times",
            advice="Does its file system have locks (flock)?",
        )

    async def seen_through(self, removal: Coroutine[Any, Any, T]) -> T:
        """Goes on when its caller is cancelled, who waits for LETS_GO_S then."""
        removing = self._going_on(removal)
        try:
            return await asyncio.shield(removing)
        except asyncio.CancelledError:
            await asyncio.wait([removing], timeout=LETS_GO_S)
            raise

    def _going_on(self, removal: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """By itself, and known until it has ended."""

        def ended(removing: asyncio.Future[T]) -> None:
            self._removals.discard(removing)
            if not removing.cancelled() and (error := removing.exception()):
                log.warning("roots.not_removed", cause=str(error))

        removing = asyncio.ensure_future(removal)
        self._removals.add(removing)
        removing.add_done_callback(ended)
        return removing

    def becoming(self) -> dict[str, Path]:
        """What they are to become, by whomever, and where they lie."""
        named = (name for name in self._names() if name.count("@") >= 2)
        return {name.split("@", 2)[2]: self._folder / name for name in named}

    def remove_abandoned(self) -> None:
        """Those of this host's processes that died at work, and of other hosts those that nobody can be
        working on any more: such a host may be lost for good, and of another provisioner."""
        now_s: float | None = None
        for name in self._names():
            if name.startswith(self._own):
                continue
            with contextlib.suppress(OSError), holding(self._folder / name, fcntl.LOCK_EX) as held:
                if held is None:
                    continue
                if not name.startswith(f"{self._host}@"):
                    now_s = self._now_s() if now_s is None else now_s
                    if now_s - os.fstat(held).st_mtime < ABANDONED_S:
                        continue
                remove_tree(self._folder / name)
                log.info("roots.draft_removed", draft=name)

    def _names(self) -> list[str]:
        with os.scandir(self._folder) as entries:
            return [entry.name for entry in entries]

    def _now_s(self) -> float:
        """By the clock that dates these files: another machine's, it may be."""
        with tempfile.TemporaryFile(dir=self._folder) as file:
            return os.fstat(file.fileno()).st_mtime


def hold(folder: Path, how: int) -> int | None:
    """The descriptor that holds its lock. None when it isn't there, any more, or others hold it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with contextlib.suppress(FileNotFoundError, BlockingIOError):
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
    os.close(descriptor)
    return None


@contextlib.contextmanager
def holding(folder: Path, how: int) -> Iterator[int | None]:
    """As `hold`, until this is left."""
    held = hold(folder, how)
    try:
        yield held
    finally:
        if held is not None:
            os.close(held)


def _remove_what_can_be(folder: Path) -> None:
    with contextlib.suppress(OSError):
        remove_tree(folder)
