"""Finds a ramdisk that was built before, without asking any package archive."""

from __future__ import annotations

from pathlib import Path

from provisioner.ramdisk.build import Ramdisk, builds, found_in
from provisioner.ramdisk.recipe import Kernel


def newest(arch: str, cache: Path, kernel: Kernel = "hardware") -> Ramdisk | None:
    """The last built, or last confirmed, ramdisk of a Debian architecture; None when there is none."""
    found = list(builds(cache, arch, kernel).glob("*/initrd"))
    if not found:
        return None
    folder = max(found, key=lambda path: path.parent.stat().st_mtime).parent
    return found_in(folder, folder.name)
