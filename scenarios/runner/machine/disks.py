"""What lies on a machine's disk or in its root by NFS, read by the lab: files of the image, one by one.

Not byte by byte: growing the file system rewrites its own structures, and a running system its logs. What was
deployed is there when every file of the image is, as the image has it.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from scenarios.runner.stage import LabTrouble

ROOT_OFFSET_BYTES = 2**20
EDGE_BYTES = 16 * 2**20

# What a first boot changes, and what is made anew on each machine.
CHANGED_BY_RUNNING = (
    "etc/machine-id",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "etc/fstab",
    "etc/mtab",
)
CHANGED_BELOW = ("var/", "tmp/", "run/", "root/", "home/", "etc/ssh/", "etc/network/", "boot/grub/grubenv")

NO_FILE_SYSTEM = ("no file system",)

TRIES, PAUSE_S = 3, 0.5


def unlike_root_image(disk: Path, image: Path) -> tuple[str, ...]:
    """Files of a root file system image that don't stand on the disk, equal; empty: it is there whole."""
    return _differences(image, 0, disk, ROOT_OFFSET_BYTES)


def unlike_root_folder(folder: Path, image: Path) -> tuple[str, ...]:
    """The same of a root by NFS: that don't stand in this folder."""
    with tempfile.TemporaryDirectory(prefix="disks-") as unpacked:
        wanted = Path(unpacked)
        return NO_FILE_SYSTEM if _dumped(image, 0, wanted) else _unlike(wanted, folder)


def unlike_disk_image(disk: Path, image: Path) -> tuple[str, ...]:
    """The same of a whole disk's first ext file system."""
    offset = first_file_system(image)
    return NO_FILE_SYSTEM if offset is None else _differences(image, offset, disk, offset)


def is_blank(disk: Path, *, whole: bool) -> bool:
    """Whether both ends (or all) of it read as zeros."""
    size = disk.stat().st_size
    spans = [(0, size)] if whole else [(0, EDGE_BYTES), (max(0, size - EDGE_BYTES), EDGE_BYTES)]
    with disk.open("rb") as file:
        for offset, length in spans:
            file.seek(offset)
            left = min(length, size - offset)
            while left > 0 and (piece := file.read(min(left, 2**20))):
                if any(piece):
                    return False
                left -= len(piece)
    return True


def first_file_system(image: Path) -> int | None:
    """Where the first partition with ext4 on it begins, in bytes."""
    done = _run("sfdisk", "--dump", str(image))
    for line in done.splitlines():
        if "start=" in line:
            offset = int(line.split("start=")[1].split(",")[0]) * 512
            with image.open("rb") as file:
                file.seek(offset + 1024 + 56)  # the magic number of ext2 and its heirs
                if file.read(2) == b"\x53\xef":
                    return offset
    return None


def _differences(image: Path, image_offset: int, disk: Path, disk_offset: int) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory(prefix="disks-") as folder:
        wanted, found = Path(folder, "wanted"), Path(folder, "found")
        for source, offset, target in ((image, image_offset, wanted), (disk, disk_offset, found)):
            target.mkdir()
            if told := _dumped(source, offset, target):
                return (*NO_FILE_SYSTEM, told)
        return _unlike(wanted, found)


def _dumped(source: Path, offset: int, target: Path) -> str:
    """Empty: the files of the file system lie in `target` now. Else why there is none. Tried more than once:
    on a busy machine one that is whole was not opened at first; what isn't whole never becomes so."""
    told = ""
    for again in range(TRIES):
        time.sleep(PAUSE_S if again else 0)
        # debugfs reads the file system by itself: nothing is mounted, no kernel touches the disk.
        told = _debugfs(source, offset, f"rdump / {target}")
        if "Filesystem not open" not in told and "Bad magic" not in told:
            return ""
    return " ".join(told.split())[:200]


def _unlike(wanted: Path, found: Path) -> tuple[str, ...]:
    return tuple(
        str(name)
        for path in sorted(wanted.rglob("*"))
        if (name := path.relative_to(wanted)) and not _may_change(str(name))
        if not _same(path, found / name)
    )


def _same(wanted: Path, found: Path) -> bool:
    if wanted.is_symlink():
        return found.is_symlink() and wanted.readlink() == found.readlink()
    if wanted.is_dir():
        return found.is_dir()
    return found.is_file() and found.read_bytes() == wanted.read_bytes()


def _may_change(name: str) -> bool:
    return name in CHANGED_BY_RUNNING or name.startswith(CHANGED_BELOW)


def _debugfs(source: Path, offset: int, request: str) -> str:
    return _run("debugfs", "-R", request, f"{source}?offset={offset}")


def _run(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabTrouble(f"{argv[0]}: {error}") from error
    return done.stdout + done.stderr
