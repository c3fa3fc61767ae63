"""Block devices, as the kernel has them."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provisioner.agent.errors import CommandError
from provisioner.agent.job import Job

# linux/fs.h; _IO() numbers, equal on every architecture of Debian but MIPS, PowerPC and SPARC
BLKFLSBUF = 0x1261
BLKSSZGET = 0x1268
BLKZEROOUT = 0x127F

SYS_BLOCK = Path("/sys/class/block")
ZERO_STEP_BYTES = 256 * 2**20
SYSFS_SECTOR_BYTES = 512  # of start and size in sysfs, whatever the disk's own sectors are


@contextmanager
def opened(device: str, flags: int) -> Iterator[int]:
    try:
        fd = os.open(device, flags | os.O_CLOEXEC)
    except OSError as error:
        code = "disk-missing" if error.errno == errno.ENOENT else "disk-error"
        raise CommandError(code, f"can't open {device}: {error.strerror}") from error
    try:
        if not stat.S_ISBLK(os.fstat(fd).st_mode):
            raise CommandError("not-a-disk", f"{device} is not a block device")
        yield fd
    except OSError as error:
        raise CommandError("disk-error", f"{device}: {error.strerror}") from error
    finally:
        os.close(fd)


def size_bytes(fd: int) -> int:
    return os.lseek(fd, 0, os.SEEK_END)


def flush(device: str) -> None:
    """Everything written to the device is on the medium, and nothing of it is cached when this returns."""
    with opened(device, os.O_RDWR) as fd:
        os.fsync(fd)
        fcntl.ioctl(fd, BLKFLSBUF)


def zero(device: str, start: int, length: int, job: Job, *, done: int = 0, total: int = 0) -> None:
    """Zeroes a range: the device does it by itself where it can, else the kernel writes zeros."""
    with opened(device, os.O_RDWR) as fd:
        end = min(start + length, size_bytes(fd))
        for offset in range(start, end, ZERO_STEP_BYTES):
            job.check()
            step = min(ZERO_STEP_BYTES, end - offset)
            fcntl.ioctl(fd, BLKZEROOUT, struct.pack("QQ", offset, step))
            if total:
                job.progress(done + offset + step - start, total)
        os.fsync(fd)
        fcntl.ioctl(fd, BLKFLSBUF)


def sector_bytes(device: str) -> int:
    with opened(device, os.O_RDONLY) as fd:
        value = array.array("i", [0])
        fcntl.ioctl(fd, BLKSSZGET, value, True)
        return value[0]


def kernel_name(device: str) -> str:
    return Path(device).resolve().name
