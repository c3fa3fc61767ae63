"""partition_disk: the partition table around, or inside, what was written to the disk."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from provisioner.agent import block, kernel_partitions
from provisioner.agent.board import Run
from provisioner.agent.errors import CommandError
from provisioner.agent.file_systems import probe
from provisioner.agent.job import Job
from provisioner.agent.params import Params
from provisioner.agent.partition_table import (
    MBR_EXTENDED,
    Layout,
    Partition,
    Table,
    around_root_filesystem,
    brought_along,
    extras,
    inside_whole_disk,
    parse,
)

BOOT_CODE_BYTES = 440  # of the first sector: a boot loader's, before the MBR's disk id
ROOT_FILE_SYSTEMS = ("ext2", "ext3", "ext4", "xfs", "btrfs")
# Discoverable partitions specification: the root partition's type, by architecture
ROOT_TYPES = {
    "x86_64": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "aarch64": "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
    "armv7l": "69DAD710-2CE4-4E3C-B16C-21A1D49ABED3",
}


def partition_command(node: str) -> Callable[[Params], Run]:
    """node: part of the seed of the partitions' UUIDs, so that a repetition gives the same ones."""

    def parse_params(params: Params) -> Run:
        device = params.device("device")
        layout = params.text("layout", "root_filesystem|whole_disk")
        offset = params.integer("root_offset_bytes", 2**20, 2**40, default=2**20)
        root_bytes = params.integer("root_size_bytes", 0, 2**62, default=0)
        ours = extras(
            ephemeral_mib=params.integer("ephemeral_mib", 0, 2**31, default=0),
            swap_mib=params.integer("swap_mib", 0, 2**24, default=0),
            config_mib=params.integer("config_drive_mib", 0, 2**16, default=8),
        )
        seed = uuid.uuid5(uuid.NAMESPACE_URL, f"provisioner:{node}:{device}")

        def run(job: Job) -> dict[str, Any]:
            sector = block.sector_bytes(device)
            with block.opened(device, os.O_RDONLY) as fd:
                sectors = block.size_bytes(fd) // sector
            found = None
            if layout == "root_filesystem":
                wanted = around_root_filesystem(
                    seed=seed,
                    sector=sector,
                    disk_sectors=sectors,
                    offset_bytes=offset,
                    root_bytes=root_bytes,
                    extras=ours,
                )
            else:
                found = _read_table(device, sectors, job)
                root = _find_root(device, found.table, brought_along(found.table, ours), job)
                wanted = inside_whole_disk(found.table, seed=seed, root=root, extras=ours)
            if found is None or found.table != wanted.table or not found.backup_in_place:
                _write_table(device, wanted.table, job)
            return _result(device, wanted, job)

        return run

    return parse_params


class Found(NamedTuple):
    table: Table
    backup_in_place: bool
    """False for a GPT that came with a smaller image: its second copy lies in the middle of the disk."""


def _read_table(device: str, sectors: int, job: Job) -> Found:
    _, text = job.run(["sfdisk", "--json", device], code="no-partition-table")
    dump = json.loads(text)
    table = parse(dump, sectors)
    if table.label not in ("gpt", "dos"):
        raise CommandError(
            "no-partition-table", f"{device} has a {table.label} table; the image must have GPT or MBR"
        )
    gpt = table.label == "gpt"
    return Found(table, not gpt or int(dump["partitiontable"]["lastlba"]) >= table.end - 1)


def _find_root(device: str, table: Table, theirs: Sequence[Partition], job: Job) -> int | None:
    """Of the image's own: by its type, else the largest with a Linux file system; None when it can't be
    told."""
    by_type = [part for part in theirs if part.type.upper() == ROOT_TYPES.get(os.uname().machine)]
    if by_type:
        return by_type[0].number
    nodes = _shown(device, table, job)
    linux = [
        part
        for part in theirs
        if part.number in nodes and probe(nodes[part.number], job).get("TYPE") in ROOT_FILE_SYSTEMS
    ]
    return max(linux, key=lambda part: part.size).number if linux else None


def _check_takes_tables(device: str) -> None:
    """Raises CommandError `disk-error` when it takes no write where tables lie: at its beginning and end."""
    sector_bytes = block.sector_bytes(device)
    with block.opened(device, os.O_RDWR | os.O_SYNC) as fd:
        for offset in (0, block.size_bytes(fd) - sector_bytes):
            os.pwrite(fd, os.pread(fd, sector_bytes, offset), offset)


def _write_table(device: str, table: Table, job: Job) -> None:
    """The boot loader's code in the first sector is kept."""
    with block.opened(device, os.O_RDWR | os.O_SYNC) as fd:
        boot_code = os.pread(fd, BOOT_CODE_BYTES, 0)
    argv = ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel"]
    argv += ["--wipe", "never", "--wipe-partitions", "never", device]
    try:
        job.run(argv, stdin=table.script().encode(), code="partitioning-failed")
    except CommandError:
        _check_takes_tables(device)  # sfdisk says nothing of a write that the disk refused
        raise
    with block.opened(device, os.O_RDWR | os.O_SYNC) as fd:
        if os.pread(fd, BOOT_CODE_BYTES, 0) != boot_code:
            os.pwrite(fd, boot_code, 0)
    block.flush(device)


def _result(device: str, layout: Layout, job: Job) -> dict[str, Any]:
    nodes = _shown(device, layout.table, job)

    def node(number: int | None) -> str | None:
        return nodes[number] if number is not None else None

    root = node(layout.root)
    root_tags = probe(root, job) if root else {}
    return {
        "root_device": root,
        "root_fstype": root_tags.get("TYPE"),
        "root_uuid": root_tags.get("UUID"),
        "root_partuuid": root_tags.get("PART_ENTRY_UUID"),
        "ephemeral_device": node(layout.ephemeral),
        "swap_device": node(layout.swap),
        "config_device": node(layout.config),
    }


def _shown(device: str, table: Table, job: Job) -> dict[int, str]:
    """The device nodes of the table's partitions. An extended partition is shown as the kernel itself
    would show it, if it had a use for it: not at all."""
    unit = table.sector_bytes
    wanted = {
        part.number: (part.start * unit, part.end * unit)
        for part in table.partitions
        if part.type not in MBR_EXTENDED
    }
    return kernel_partitions.show(device, wanted, job)
