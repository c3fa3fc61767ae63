"""Makes roots of one image on an xfs, and says what each took: `python -m … FOLDER IMAGE DIGEST NAME...`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from provisioner.services.children import SystemChildren
from provisioner.services.ganesha import nfs_path
from provisioner.services.root_folders import MountedRootFolders

ON_XFS = 'mount -t xfs -o loop "$1" "$2" && shift && exec "$0" -m tests.wire.services.roots_on_xfs "$@"'


def on_xfs(disk: Path, folder: Path, image: Path, digest: str, *names: str) -> list[int]:
    """What each root took of this disk, which is mounted at `folder` meanwhile."""
    # In a mount namespace that ends with what runs in it: nothing stays mounted.
    words = ["unshare", "--mount", "sh", "-c", ON_XFS, sys.executable]
    words += [str(disk), str(folder), str(image), digest, *names]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return [int(line) for line in told.split()]


async def main(folder: Path, image: Path, digest: str, *names: str) -> None:
    roots = MountedRootFolders(folder, SystemChildren(), nfs_path, "ch1")
    free = _free_bytes(folder)
    for name in names:
        await roots.make(name, image, format="raw", digest=digest, files={})
        before, free = free, _free_bytes(folder)
        print(before - free)


def _free_bytes(folder: Path) -> int:
    # Blocks that are yet to be given to what was written are given to it.
    subprocess.run(["sync", "--file-system", str(folder)], check=True)
    disk = os.statvfs(folder)
    return disk.f_bfree * disk.f_frsize


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
