"""Root directories of nodes: made of real images, on a file system of this machine."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from provisioner.core.errors import ImageInvalid, NotFound, PermanentError, StorageFull
from provisioner.protocols.children import Argument, ChildResult
from provisioner.protocols.roots import folder_name
from provisioner.services import draft_folders, root_folders, tenant_tree
from provisioner.services.children import SystemChildren
from provisioner.services.draft_folders import ABANDONED_S
from provisioner.services.ganesha import nfs_path
from provisioner.services.root_folders import MountedRootFolders
from tests.machine.lab import eventually
from tests.wire.services.conftest import play
from tests.wire.services.root_images import NAME, SIZE_BYTES, digest_of, file_system, folders, make
from tests.wire.services.roots_on_xfs import on_xfs

pytestmark = pytest.mark.wire


def test_a_root_has_every_file_of_its_image_as_it_was_and_what_is_added(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path)
    root = make(tmp_path / "roots", image, digest)
    su = (root / "bin/su").lstat()
    assert (su.st_uid, su.st_gid, su.st_mode & 0o7777) == (1000, 2000, 0o4755)
    assert (root / "bin/same").lstat().st_ino == su.st_ino
    assert str((root / "bin/link").readlink()) == "/bin/su"
    assert (root / "pipe").is_fifo()
    assert os.getxattr(root / "etc/hostname", "user.origin") == b"image"
    assert (root / "var/lib/seed/user-data").read_text() == "text"
    assert (root / "var/lib/seed/user-data").stat().st_mode & 0o777 == 0o600


def loop_devices() -> str:
    return subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout


def test_nothing_stays_mounted_and_no_draft_is_left(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path)
    make(tmp_path / "roots", image, digest)
    assert list((tmp_path / "roots/drafts").iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    eventually("no loop device is left", lambda: str(tmp_path) not in loop_devices(), 60)


def test_a_qcow2_is_unpacked_too(tmp_path: Path) -> None:
    raw, digest = file_system(tmp_path)
    image = tmp_path / "root.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(image)], check=True)
    root = make(tmp_path / "roots", image, digest, format="qcow2")
    assert (root / "etc/hostname").read_text() == "image\n"


def test_two_roots_of_one_image_are_two(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path)
    one = make(tmp_path / "roots", image, digest)
    two = make(tmp_path / "roots", image, digest, name=folder_name("node-2", 1, "a"))
    (one / "etc/hostname").write_text("one\n")
    assert (two / "etc/hostname").read_text() == "image\n"


MIB = 2**20


def test_roots_share_what_is_alike_where_the_file_system_can(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path, data_bytes=32 * MIB)
    disk, folder = tmp_path / "disk", tmp_path / "roots"
    folder.mkdir()
    with disk.open("wb") as file:
        file.truncate(512 * MIB)
    subprocess.run(["mkfs.xfs", "-q", str(disk)], check=True)
    names = [folder_name(f"node-{number}", 1, "a") for number in (1, 2, 3)]
    first, *others = on_xfs(disk, folder, image, digest, *names)
    assert 32 * MIB <= first < 40 * MIB, "the image is unpacked, once"
    assert len(others) == 2
    assert max(others) < 2 * MIB


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


def test_bytes_that_are_not_those_registered_are_refused(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path)
    with image.open("r+b") as file:
        file.seek(SIZE_BYTES // 2)
        file.write(b"rot")
    with pytest.raises(ImageInvalid, match=r"its content is sha512-tree:.*was registered"):
        make(tmp_path / "roots", image, digest)
    assert [*(tmp_path / "roots").rglob("*/*")] == []


def test_what_the_image_mounts_from_its_own_disk_is_forgotten(tmp_path: Path) -> None:
    fstab = "UUID=1 / ext4 rw 0 1\n/dev/sda2 none swap sw 0 0\n# a comment\ntmpfs /tmp tmpfs rw 0 0\n"
    image, digest = file_system(tmp_path, fstab=fstab)
    root = make(tmp_path / "roots", image, digest)
    assert (root / "etc/fstab").read_text() == "# a comment\ntmpfs /tmp tmpfs rw 0 0\n"


def test_what_is_no_file_system_is_said_to_be_none(tmp_path: Path) -> None:
    image = tmp_path / "noise.raw"
    image.write_bytes(b"noise" * 2**18 + bytes(2**18 * 3))
    with pytest.raises(ImageInvalid, match="none of the file systems"):
        make(tmp_path / "roots", image, digest_of(image))


def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path, data_bytes=2 * 2**20)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        with pytest.raises(StorageFull, match="no space left"):
            make(small / "roots", image, digest)
        assert [*(small / "roots").rglob("*/*")] == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def seen(root: Path) -> dict[Path, tuple[int, ...]]:
    """Each file, and by what a change of it is seen."""
    found = ((path, path.lstat()) for path in root.rglob("*"))
    return {path: (stat.st_ino, stat.st_mode, stat.st_size, stat.st_mtime_ns) for path, stat in found}


def test_a_disk_without_room_for_another_root_is_said_and_the_first_one_stays(tmp_path: Path) -> None:
    """Its image is unpacked already, as that of most nodes is."""
    image, digest = file_system(tmp_path, data_bytes=2 * MIB)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(small)], check=True)
    try:
        first = make(small / "roots", image, digest)
        before = seen(first)
        free = os.statvfs(small)
        (small / "filler").write_bytes(bytes(free.f_bavail * free.f_frsize - MIB))
        with pytest.raises(StorageFull, match=r"copy the root file system on .*no space left") as caught:
            make(small / "roots", image, digest, name=folder_name("node-2", 1, "a"))
        assert "Delete instances whose root is there, or make room" in str(caught.value)
        assert [*(small / "roots/drafts").iterdir()] == []
        assert [path.name for path in (small / "roots/nodes").iterdir()] == [NAME]
        assert [path.name for path in (small / "roots/images").iterdir()] == [image.name]
        assert seen(first) == before
        assert (first / "data").read_bytes() == (tmp_path / "tree/data").read_bytes()
        (small / "filler").unlink()
        second = make(small / "roots", image, digest, name=folder_name("node-2", 1, "a"))
        assert (second / "data").read_bytes() == (tmp_path / "tree/data").read_bytes()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_drafts_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    drafts = tmp_path / "drafts"
    (drafts / "ch1@dead").mkdir(parents=True)
    (drafts / "ch11@at-work-on-shared-storage").mkdir()
    living = drafts / "ch1@living"
    living.mkdir()
    pipe = subprocess.PIPE
    with subprocess.Popen(["flock", str(living), "cat"], stdin=pipe, stdout=pipe) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        holder.stdout.read(1)  # it holds the lock by now
        play(folders(tmp_path).remove_abandoned)
        assert {path.name for path in drafts.iterdir()} == {"ch1@living", "ch11@at-work-on-shared-storage"}


def test_drafts_of_a_host_that_is_lost_for_good_are_removed_once_nobody_can_be_at_work(
    tmp_path: Path,
) -> None:
    lost, shared = tmp_path / "drafts/ch2@raw", tmp_path / "drafts/ch2@new"
    for draft in (lost, shared):
        draft.mkdir(parents=True)
        (draft / "raw").write_text("an image")
    hours_ago = time.time() - ABANDONED_S - 60
    os.utime(lost, (hours_ago, hours_ago))
    play(folders(tmp_path).remove_abandoned)
    assert [path.name for path in (tmp_path / "drafts").iterdir()] == [shared.name]


@pytest.mark.parametrize("left", ["removed/node-1.3.a", "drafts/ch2@0123@node-1.3.a"])
def test_what_another_host_died_at_is_removed_with_the_nodes_roots(tmp_path: Path, left: str) -> None:
    async def story() -> None:
        made = folders(tmp_path)
        for name in (left, left.replace("node-1.3", "node-1.4"), left.replace("node-1.3", "node-10.3")):
            (tmp_path / name / "root").mkdir(parents=True)
            (tmp_path / name / "root/secret").write_text("a tenant's")
        assert await made.names() == []
        assert await made.unfinished() == ["node-1.3.a", "node-1.4.a", "node-10.3.a"]
        await made.remove("node-1", fence=3)
        assert await made.unfinished() == ["node-1.4.a", "node-10.3.a"]
        assert len([*tmp_path.rglob("secret")]) == 2

    play(story)


def test_a_root_that_two_hosts_remove_at_once_is_gone_for_both(tmp_path: Path) -> None:
    async def story() -> None:
        one, other = folders(tmp_path), folders(tmp_path)
        for number in range(200):
            folder = tmp_path / "nodes" / NAME / f"{number % 20}" / "deep" / f"{number}"
            folder.mkdir(parents=True)
            (folder / "file").write_text("")
        await asyncio.gather(*(host.remove("node-1", fence=3) for host in (one, other)))
        assert await one.unfinished() == await other.names() == []

    play(story)


def test_only_folders_of_older_owners_are_removed(tmp_path: Path) -> None:
    async def story() -> None:
        made = folders(tmp_path)
        for node, fence in (("node-1", 2), ("node-1", 3), ("node-1", 4), ("node-11", 1)):
            (tmp_path / "nodes" / folder_name(node, fence, "x")).mkdir()
        await made.remove("node-1", fence=3)
        assert await made.names() == ["node-1.4.x", "node-11.1.x"]

    play(story)


def test_nothing_else_waits_while_a_removal_looks_through_the_roots_of_all_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, listing = folders(tmp_path), set[int]()
    root = tmp_path / "nodes" / NAME
    root.mkdir()
    for name in ("listdir", "scandir"):

        def listed(folder: Path | int, list_folder: Callable[..., object] = getattr(os, name)) -> object:
            listing.add(threading.get_ident())
            return list_folder(folder)

        monkeypatch.setattr(os, name, listed)
    play(lambda: made.remove("node-1", fence=3))
    assert not root.exists()
    assert listing
    assert threading.get_ident() not in listing, "the loop's own thread"


@pytest.mark.parametrize("what", ["a root", "a draft"])
def test_who_is_cancelled_waits_for_no_long_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A host keeps its lease as long as its work ends."""
    monkeypatch.setattr(draft_folders, "LETS_GO_S", 0.05)
    begun, may_end = threading.Event(), threading.Event()

    def remove_slowly(folder: Path, remove: Callable[[Path], None] = tenant_tree.remove_tree) -> None:
        begun.set()
        may_end.wait(60)
        remove(folder)

    for module in (root_folders, draft_folders):
        monkeypatch.setattr(module, "remove_tree", remove_slowly)
    made = folders(tmp_path)
    root = tmp_path / "nodes" / NAME
    root.mkdir()
    removing = tmp_path / ("removed" if what == "a root" else "drafts")

    async def draft() -> None:
        async with made._drafts.draft():
            begun.set()
            await asyncio.Event().wait()

    async def story() -> None:
        working = asyncio.create_task(made.remove("node-1", fence=3) if what == "a root" else draft())
        await asyncio.to_thread(begun.wait, 60)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert [*removing.iterdir()], "it is still being removed"
        may_end.set()
        while [*removing.iterdir()]:
            await asyncio.sleep(0.01)

    try:
        play(story)
    finally:
        may_end.set()
    assert root.exists() == (what == "a draft")


def test_what_of_a_root_stays_is_said_and_its_removal_not_claimed(tmp_path: Path) -> None:
    stubborn = tmp_path / "nodes" / NAME / "etc"
    made = folders(tmp_path)
    stubborn.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(stubborn)], check=True)
    try:

        async def story() -> None:
            await made.remove("node-1", fence=3)

        with pytest.raises(PermanentError, match="Device or resource busy"):
            play(story)
    finally:
        (mounted,) = tmp_path.rglob("etc")
        subprocess.run(["umount", str(mounted)], check=True)


def test_a_root_that_was_made_elsewhere_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="storage that all compute hosts share"):
        folders(tmp_path).path(NAME)
