"""Roots by NFS for tests: images of file systems, and the folders that are made of them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from provisioner.core.image_digest import TreeDigest
from provisioner.protocols.roots import folder_name
from provisioner.services.children import SystemChildren
from provisioner.services.ganesha import nfs_path
from provisioner.services.root_folders import MountedRootFolders
from tests.wire.services.conftest import play

SIZE_BYTES = 8 * 2**20
NAME = folder_name("node-1", 3, "a")


def file_system(folder: Path, *, data_bytes: int = 0, fstab: str = "") -> tuple[Path, str]:
    """An ext4 image of a tree with what a copy could lose, and its tree digest."""
    tree = folder / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/hostname").write_text("image\n")
    (tree / "etc/fstab").write_text(fstab)
    (tree / "bin").mkdir()
    (tree / "bin/su").write_text("#!/bin/sh\n")
    os.chown(tree / "bin/su", 1000, 2000)
    (tree / "bin/su").chmod(0o4755)
    (tree / "bin/link").symlink_to("/bin/su")
    os.link(tree / "bin/su", tree / "bin/same")
    os.mkfifo(tree / "pipe")
    os.setxattr(tree / "etc/hostname", "user.origin", b"image")
    (tree / "data").write_bytes(os.urandom(data_bytes))
    return image_of(tree, SIZE_BYTES + 2 * data_bytes)


def image_of(tree: Path, size_bytes: int = SIZE_BYTES) -> tuple[Path, str]:
    image = tree.parent / "root.raw"
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(image)], check=True)
    return image, digest_of(image)


def digest_of(image: Path) -> str:
    digest = TreeDigest()
    digest.update(image.read_bytes())
    return digest.hexdigest()


def folders(root: Path) -> MountedRootFolders:
    return MountedRootFolders(root, SystemChildren(), nfs_path, "ch1")


def make(root: Path, image: Path, digest: str, *, format: str = "raw", name: str = NAME) -> Path:
    async def story() -> Path:
        made = folders(root)
        await made.make(name, image, format=format, digest=digest, files={"var/lib/seed/user-data": "text"})
        return made.path(name)

    return play(story)
