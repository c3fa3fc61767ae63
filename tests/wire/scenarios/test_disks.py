"""What the lab makes of the bytes on a machine's disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scenarios.runner.machine import disks

pytestmark = pytest.mark.wire
MIB = 2**20
IMAGE_MIB = 8


def run(*argv: str | Path) -> None:
    subprocess.run([str(word) for word in argv], check=True, capture_output=True)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A root file system with a few files."""
    tree = tmp_path / "tree"
    for name, content in {
        "bin/sh": b"\x7fELF",
        "etc/hostname": b"image\n",
        "usr/lib/x": b"x" * 100_000,
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    (tree / "sbin").symlink_to("bin")
    image = tmp_path / "image.raw"
    run("mke2fs", "-q", "-t", "ext4", "-d", tree, image, f"{IMAGE_MIB}M")
    return image


@pytest.fixture
def disk(image: Path, tmp_path: Path) -> Path:
    """The image at 1 MiB of a larger disk, its file system grown, as a deploy leaves it."""
    grown = tmp_path / "grown.raw"
    grown.write_bytes(image.read_bytes())
    run("truncate", "-s", "16M", grown)
    run("resize2fs", "-f", grown)
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(64 * MIB)
        file.seek(disks.ROOT_OFFSET_BYTES)
        file.write(grown.read_bytes())
    return disk


def change(disk: Path, request: str) -> None:
    run("debugfs", "-w", "-R", request, f"{disk}?offset={disks.ROOT_OFFSET_BYTES}")


def test_a_deployed_image_is_known_though_its_file_system_was_grown(image: Path, disk: Path) -> None:
    assert disks.unlike_root_image(disk, image) == ()


def test_what_a_first_boot_changes_is_let_pass(image: Path, disk: Path, tmp_path: Path) -> None:
    (tmp_path / "hostname").write_text("web\n")
    change(disk, "rm etc/hostname")
    change(disk, f"write {tmp_path / 'hostname'} etc/hostname")
    assert disks.unlike_root_image(disk, image) == ()


@pytest.mark.parametrize("request_", ["rm usr/lib/x", "rm bin/sh"])
def test_a_file_that_is_missing_is_seen(image: Path, disk: Path, request_: str) -> None:
    change(disk, request_)
    assert disks.unlike_root_image(disk, image) == (request_.removeprefix("rm "),)


def test_a_single_wrong_byte_in_a_file_is_seen(image: Path, disk: Path) -> None:
    content = disk.read_bytes()
    place = content.index(b"x" * 4096)
    with disk.open("r+b") as file:
        file.seek(place)
        file.write(b"y")
    assert disks.unlike_root_image(disk, image) == ("usr/lib/x",)


def test_a_root_by_nfs_is_known_by_its_files(image: Path, tmp_path: Path) -> None:
    root = tmp_path / "tree"  # what the image was made of
    (root / "etc/hostname").write_text("web\n")
    (root / "lost+found").mkdir()  # it comes with the file system, and is unpacked with it
    (root / "var").mkdir()
    (root / "var/seed").write_text("user data\n")
    assert disks.unlike_root_folder(root, image) == ()
    (root / "usr/lib/x").write_bytes(b"y" * 100_000)
    assert disks.unlike_root_folder(root, image) == ("usr/lib/x",)
    assert disks.unlike_root_folder(tmp_path / "nothing", image)


def test_a_disk_without_a_file_system_holds_no_image(image: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.raw"
    run("truncate", "-s", "64M", empty)
    told, why = disks.unlike_root_image(empty, image)
    assert (told,) == disks.NO_FILE_SYSTEM
    assert "Bad magic" in why
    assert disks.first_file_system(empty) is None


def test_the_file_system_of_a_whole_disk_is_found(image: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.raw"
    run("truncate", "-s", "32M", whole)
    table = "label: gpt\nstart=2048, size=4096, type=U\nstart=8192, size=32768, type=L\n"
    subprocess.run(["sfdisk", "-q", str(whole)], input=table, text=True, check=True)
    with whole.open("r+b") as file:
        file.seek(8192 * 512)
        file.write(image.read_bytes())
    assert disks.first_file_system(whole) == 8192 * 512
    assert disks.unlike_disk_image(whole, whole) == ()


def test_blank_is_what_a_wipe_leaves(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    run("truncate", "-s", "64M", disk)
    assert disks.is_blank(disk, whole=True)
    with disk.open("r+b") as file:
        file.seek(32 * MIB)
        file.write(b"left")
    assert disks.is_blank(disk, whole=False)
    assert not disks.is_blank(disk, whole=True)
    with disk.open("r+b") as file:
        file.seek(64 * MIB - 4)
        file.write(b"left")
    assert not disks.is_blank(disk, whole=False)
