"""Root directories of nodes: made of real images, on a file system of this machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.core.errors import ImageInvalid, NotFound, StorageFull
from provisioner.protocols.roots import folder_name
from tests.machine.commands import eventually
from tests.wire.services.root_images import NAME, SIZE_BYTES, digest_of, file_system, folders, image_of, make
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


# Whole images alone: a damaged one with errors=panic would halt this machine if it were mounted as it says.
@pytest.mark.parametrize("made", [("-e", "panic"), ("-E", "mount_opts=errors=panic"), ("-e", "continue")])
@pytest.mark.parametrize("second_signature", [b"", b"LUKS\xba\xbe\0\1"])
def test_no_image_says_what_this_host_does_about_its_damage(
    made: tuple[str, str], second_signature: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """second_signature: lies where an ext keeps nothing, and has blkid name something else."""
    image, _ = file_system(tmp_path)
    subprocess.run(["tune2fs", *made, str(image)], check=True, capture_output=True)
    with image.open("r+b") as file:
        file.write(second_signature)
    told, programs = tmp_path / "options", tmp_path / "programs"
    programs.mkdir()
    (programs / "cp").write_text(
        "#!/bin/sh\n"
        f'device=$(findmnt -no SOURCE "$3") && cat "/proc/fs/ext4/${{device#/dev/}}/options" > {told}\n'
        'exec /bin/cp "$@"\n'
    )
    (programs / "cp").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    make(tmp_path / "roots", image, digest_of(image))
    assert [line for line in told.read_text().split() if "errors" in line] == ["errors=remount-ro"]


def with_a_damaged_folder(folder: Path) -> tuple[Path, str]:
    (folder / "tree/etc").mkdir(parents=True)
    for number in range(100):
        (folder / f"tree/etc/a-name-that-makes-it-long-{number}").touch()
    image, _ = image_of(folder / "tree")
    # Never with errors=panic, which this machine would do, its default or not.
    subprocess.run(["tune2fs", "-e", "continue", str(image)], check=True, capture_output=True)
    blocks = subprocess.run(["debugfs", "-R", "blocks /etc", str(image)], capture_output=True, check=True)
    with image.open("r+b") as file:
        file.seek(int(blocks.stdout.split()[1]) * 1024)  # as large as blocks of file systems this small are
        file.write(b"\xff" * 64)
    return image, "cannot stat '/etc/"


def with_deep_folders(folder: Path) -> tuple[Path, str]:
    """Deeper than a path can say (PATH_MAX)."""
    (folder / "tree").mkdir()
    here = os.open(folder / "tree", os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=here)
        here, above = os.open("d" * 200, os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)
    return image_of(folder / "tree")[0], "File name too long"


@pytest.mark.parametrize("made", [with_a_damaged_folder, with_deep_folders])
def test_what_cannot_be_read_of_an_image_is_its_own_fault(
    made: Callable[[Path], tuple[Path, str]], tmp_path: Path
) -> None:
    image, told = made(tmp_path)
    with pytest.raises(ImageInvalid) as caught:
        make(tmp_path / "roots", image, digest_of(image))
    assert told in caught.value.answer
    assert len(caught.value.answer) < 400
    assert str(tmp_path) not in caught.value.message
    assert [*(tmp_path / "roots").rglob("*/*")] == []


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


def test_a_root_that_was_made_elsewhere_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="storage that all compute hosts share"):
        folders(tmp_path).path(NAME)
