"""Images whose file system has the UUID of another one that is mounted: one is a copy of the other."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from provisioner.core.errors import TransientError
from provisioner.protocols.children import Argument, ChildResult
from provisioner.services.children import SystemChildren
from provisioner.services.ganesha import nfs_path
from provisioner.services.root_folders import MountedRootFolders
from tests.wire.services.conftest import play
from tests.wire.services.root_images import NAME, digest_of, file_system
from tests.wire.services.roots_on_xfs import on_xfs

pytestmark = pytest.mark.wire

MIB = 2**20


def test_an_xfs_is_unpacked_where_one_of_its_uuid_is_mounted(tmp_path: Path) -> None:
    """As when two images that were made of one are unpacked at once."""
    image, disk, folder = tmp_path / "root.raw", tmp_path / "disk", tmp_path / "roots"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(320 * MIB)
    subprocess.run(["mkfs.xfs", "-q", str(image)], check=True)
    shutil.copyfile(image, disk)
    assert len(on_xfs(disk, folder, image, digest_of(image), NAME)) == 1


class OldKernel(SystemChildren):
    """Before 6.7: it mounts no btrfs of an fsid that it has mounted already."""

    async def run(
        self,
        argv: Sequence[Argument],
        *,
        timeout_s: float,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> ChildResult:
        if argv[0] == "unshare":
            told = "mount: /srv/roots/drafts/mount: mount(2) system call failed: File exists.\n"
            return ChildResult(32, "", told)
        return await super().run(argv, timeout_s=timeout_s, on_stdout=on_stdout)


def test_a_btrfs_whose_like_is_mounted_is_tried_again_and_the_cause_said(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path)
    made = MountedRootFolders(tmp_path / "roots", OldKernel(), nfs_path, "ch1")
    with pytest.raises(TransientError, match=r"same UUID is mounted .*btrfstune"):
        play(lambda: made.make(NAME, image, format="raw", digest=digest, files={}))
    assert list((tmp_path / "roots/drafts").iterdir()) == []
