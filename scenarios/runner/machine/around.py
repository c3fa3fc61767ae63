"""What was made on a machine's disk around the image, read by the lab from the disk's own bytes."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from scenarios.runner.stage import Around, LabTrouble

MIB = 2**20

EXT_AT, EXT_MAGIC = 1024, 0xEF53
SWAP_AT, SWAP_MAGIC = 4096 - 10, b"SWAPSPACE2"
# Source: util-linux, libblkid/src/superblocks/swap.c: at the end of the first page, here of 4 KiB

EPHEMERAL_LABEL, CONFIG_DRIVE_LABEL = "ephemeral0", b"CIDATA"

NOT_FILLED_MIB = 8
"""What a file system leaves at its partition's end: a block group that would be too small."""


class _Partition(NamedTuple):
    start_bytes: int
    size_bytes: int
    head: bytes  # the first 4 KiB

    @property
    def mib(self) -> int:
        return self.size_bytes // MIB


class _Ext(NamedTuple):
    """A file system of ext2 and its heirs."""

    partition: _Partition
    label: str
    size_bytes: int

    @property
    def fills(self) -> bool:
        return self.partition.size_bytes - self.size_bytes < NOT_FILLED_MIB * MIB


def around(disk: Path) -> Around:
    """Raises LabTrouble."""
    partitions = list(_partitions(disk))
    ext = [found for one in partitions if (found := _ext(one)) is not None]
    roots = [one for one in ext if one.label != EPHEMERAL_LABEL]
    return Around(
        root_fills=bool(roots) and max(roots, key=lambda one: one.partition.size_bytes).fills,
        ephemeral_mib=sum(one.partition.mib for one in ext if one.label == EPHEMERAL_LABEL),
        swap_mib=sum(one.mib for one in partitions if one.head[SWAP_AT:] == SWAP_MAGIC),
        hostname=next(filter(None, (_hostname(disk, one) for one in partitions)), ""),
    )


def _partitions(disk: Path) -> Iterator[_Partition]:
    """Those that the disk's table has, none where it has no table."""
    found = _run("sfdisk", "--json", str(disk))
    if found.returncode:
        return
    table: Mapping[str, Any] = json.loads(found.stdout)["partitiontable"]
    sector_bytes = int(table.get("sectorsize", 512))
    with disk.open("rb") as file:
        for entry in table.get("partitions", ()):
            start, size = int(entry["start"]) * sector_bytes, int(entry["size"]) * sector_bytes
            file.seek(start)
            yield _Partition(start, size, file.read(4096))


def _ext(partition: _Partition) -> _Ext | None:
    """Source: Linux, Documentation/filesystems/ext4/super.rst: little-endian; s_blocks_count_lo at 0x4,
    s_log_block_size at 0x18, s_magic at 0x38, s_volume_name at 0x78, s_blocks_count_hi at 0x150."""
    block = partition.head[EXT_AT : EXT_AT + 1024]
    if len(block) < 1024 or struct.unpack_from("<H", block, 0x38)[0] != EXT_MAGIC:
        return None
    low, high, log = (struct.unpack_from("<I", block, at)[0] for at in (0x4, 0x150, 0x18))
    label = block[0x78:0x88].rstrip(b"\0").decode("ascii", "replace")
    return _Ext(partition, label, ((high << 32) + low) << (10 + log))


def _hostname(disk: Path, partition: _Partition) -> str:
    """That its config drive tells; empty: it is none."""
    if CONFIG_DRIVE_LABEL not in partition.head[:512]:
        return ""
    read = _run("mcopy", "-n", "-i", f"{disk}@@{partition.start_bytes}", "::meta-data", "-")
    if read.returncode:
        return ""
    try:
        told = yaml.safe_load(read.stdout)
    except yaml.YAMLError:
        return ""
    return str(told.get("local-hostname", "")) if isinstance(told, dict) else ""


def _run(*argv: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(argv, capture_output=True, check=False, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabTrouble(f"{argv[0]}: {error}") from error
