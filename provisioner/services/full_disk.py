"""What a full disk of this host means for whoever writes to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path

from provisioner.core.errors import StorageFull

_SAID = ("No space left on device", "Disk quota exceeded")
"""By programs, of the same two errors."""


def said_full(complaints: str) -> str:
    """Which of them a program complained of; empty: of neither."""
    return next((words.lower() for words in _SAID if words in complaints), "")


@contextmanager
def storage_full_told(tried: str, path: Path, advice: str) -> Iterator[None]:
    """Turns the kernel's "no space left" into StorageFull. path: what is written, or its folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise
        folder = path if path.is_dir() else path.parent
        disk = os.statvfs(folder)
        raise StorageFull(
            tried,
            device=f"folder {folder}",
            answer=f"{error.strerror}, {disk.f_bavail * disk.f_frsize} bytes are free",
            advice=advice,
        ) from error
