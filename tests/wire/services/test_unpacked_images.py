"""The copy of an image that all its roots are made from: whole by its name, and forgotten when unused."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from provisioner.protocols.children import Argument, ChildResult
from provisioner.protocols.roots import folder_name
from provisioner.services.children import SystemChildren
from provisioner.services.ganesha import nfs_path
from provisioner.services.root_folders import MountedRootFolders
from tests.wire.services.conftest import play
from tests.wire.services.root_images import NAME, file_system, folders

pytestmark = pytest.mark.wire

KEPT = "5" * 64


class Disturbed(SystemChildren):
    """Somebody forgets the image before each program that `make` runs, where that can be done."""

    def __init__(self, forget: Callable[[str], Awaitable[bool]]) -> None:
        super().__init__()
        self._forget = forget
        self.forgotten: list[tuple[str, bool]] = []

    async def run(
        self,
        argv: Sequence[Argument],
        *,
        timeout_s: float,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> ChildResult:
        self.forgotten.append((str(argv[0]), await self._forget(KEPT)))
        return await super().run(argv, timeout_s=timeout_s, on_stdout=on_stdout)


def test_an_unpacked_image_is_forgotten_but_while_a_root_is_made_from_it(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path)
    image = image.rename(tmp_path / KEPT)

    async def story() -> None:
        sweeping = folders(tmp_path / "roots")
        children = Disturbed(sweeping.forget)
        made = MountedRootFolders(tmp_path / "roots", children, nfs_path, "ch1")
        (tmp_path / "roots/images/lost+found").mkdir()

        async def make(node: str) -> None:
            name = folder_name(node, 1, "a")
            await made.make(name, image, format="raw", digest=digest, files={})
            assert (made.path(name) / "etc/hostname").read_text() == "image\n"

        await make("node-1")
        assert children.forgotten[-2:] == [("cp", False), ("sync", False)]
        assert await sweeping.unpacked() == [KEPT]
        await make("node-2")
        assert children.forgotten[-2:] == [("cp", False), ("sync", False)]
        assert not any(done for _, done in children.forgotten)
        assert await sweeping.forget(KEPT)
        assert await sweeping.unpacked() == []
        assert not await sweeping.forget(KEPT)
        await asyncio.gather(make("node-3"), make("node-4"), sweeping.forget(KEPT), sweeping.forget(KEPT))
        assert list((tmp_path / "roots/drafts").iterdir()) == []

    play(story)


def test_a_root_is_made_of_an_image_that_is_forgotten_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, digest = file_system(tmp_path)
    image = image.rename(tmp_path / KEPT)

    async def story() -> None:
        made = folders(tmp_path / "roots")
        await made.make(folder_name("node-1", 1, "a"), image, format="raw", digest=digest, files={})
        flock, descriptors = fcntl.flock, list[int]()

        def forget_before(descriptor: int, how: int) -> None:
            if how & fcntl.LOCK_SH and not descriptors:
                descriptors.append(descriptor)
                (tmp_path / "roots/images" / KEPT).rename(tmp_path / "gone")
            flock(descriptor, how)

        monkeypatch.setattr(fcntl, "flock", forget_before)
        await made.make(NAME, image, format="raw", digest=digest, files={})
        assert descriptors
        assert await made.unpacked() == [KEPT]
        assert (made.path(NAME) / "etc/hostname").read_text() == "image\n"

    play(story)


class Witnessed(SystemChildren):
    """Tells when a file system is written to its disk."""

    def __init__(self, done: list[str]) -> None:
        super().__init__()
        self._done = done

    async def run(
        self,
        argv: Sequence[Argument],
        *,
        timeout_s: float,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> ChildResult:
        result = await super().run(argv, timeout_s=timeout_s, on_stdout=on_stdout)
        if argv[:2] == ("sync", "--file-system") and result.code == 0:
            self._done.append(f"all of {Path(str(argv[2])).name} is on the disk")
        return result


def test_what_is_taken_for_whole_by_its_name_is_on_the_disk_before_it_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut may leave empty files by that name, and each later root is a copy of them."""
    image, digest = file_system(tmp_path)
    image, done = image.rename(tmp_path / KEPT), list[str]()
    rename, fsync = Path.rename, os.fsync

    def renamed(path: Path, target: Path) -> Path:
        done.append(f"{path.name} becomes {target.name}")
        return rename(path, target)

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        done.append(f"names in {Path(f'/proc/self/fd/{descriptor}').readlink().name} are on the disk")

    monkeypatch.setattr(Path, "rename", renamed)
    monkeypatch.setattr(os, "fsync", synced)
    made = MountedRootFolders(tmp_path / "roots", Witnessed(done), nfs_path, "ch1")
    play(lambda: made.make(NAME, image, format="raw", digest=digest, files={}))
    assert done == [
        "all of root is on the disk",
        f"root becomes {KEPT}",
        "names in images are on the disk",
        "all of root is on the disk",
        f"root becomes {NAME}",
        "names in nodes are on the disk",
    ]
