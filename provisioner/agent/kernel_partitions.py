"""The partitions of a disk that the kernel knows, and those that it shall know.

The kernel is told of them one by one (BLKPG), not to read the table anew (BLKRRPART): so it needs no
parser of the table, and a partition that hasn't changed is left alone even while it is in use.
"""

from __future__ import annotations

import array
import fcntl
import os
import struct
from collections.abc import Mapping
from pathlib import Path

from provisioner.agent import block
from provisioner.agent.errors import CommandError
from provisioner.agent.job import Job

BLKPG = 0x1269  # linux/blkpg.h
BLKPG_ADD_PARTITION, BLKPG_DEL_PARTITION = 1, 2
PARTITION = struct.Struct("@qqi64s64s")  # first byte, bytes, number, and two names that are not used
ORDER = struct.Struct("@iiiP")  # operation, flags, length and address of the above
NODE_WAIT_S = 10.0
NODE_POLL_S = 0.05

Span = tuple[int, int]  # first byte on the disk and the byte behind the last


def nodes(device: str) -> dict[int, str]:
    """Number → path of each partition that the kernel knows of the disk."""
    found = {}
    for entry in (block.SYS_BLOCK / block.kernel_name(device)).glob("*/partition"):
        found[int(entry.read_text())] = f"/dev/{entry.parent.name}"
    return dict(sorted(found.items()))


def spans(device: str) -> dict[int, Span]:
    """Number → where it lies."""
    found = {}
    for number, node in nodes(device).items():
        entry = block.SYS_BLOCK / block.kernel_name(node)
        start, size = int((entry / "start").read_text()), int((entry / "size").read_text())
        found[number] = (start * block.SYSFS_SECTOR_BYTES, (start + size) * block.SYSFS_SECTOR_BYTES)
    return found


def show(device: str, wanted: Mapping[int, Span], job: Job) -> dict[int, str]:
    """The kernel knows these partitions and no others, and their device nodes are there."""
    known = spans(device)
    with block.opened(device, os.O_RDWR) as fd:
        for number in known:
            if wanted.get(number) != known[number]:
                _order(fd, BLKPG_DEL_PARTITION, number, (0, 0))
        for number, span in wanted.items():
            if known.get(number) != span:
                _order(fd, BLKPG_ADD_PARTITION, number, span)
    for _ in range(int(NODE_WAIT_S / NODE_POLL_S)):
        found = nodes(device)
        if sorted(found) == sorted(wanted) and all(Path(node).exists() for node in found.values()):
            return found
        job.wait(NODE_POLL_S)
    raise CommandError(
        "partitioning-failed",
        f"the kernel shows partitions {sorted(found)} of {device}, not {sorted(wanted)}",
    )


def _order(fd: int, operation: int, number: int, span: Span) -> None:
    data = array.array("b", PARTITION.pack(span[0], span[1] - span[0], number, b"", b""))
    address, length = data.buffer_info()
    fcntl.ioctl(fd, BLKPG, ORDER.pack(operation, 0, length, address))
