"""What is to be found after a power cut: a name is on the disk with its folder, not with what it names."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(path: Path) -> None:
    """The names in it are on the disk when this returns."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
