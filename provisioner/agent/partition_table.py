"""Partition tables as values, and the two layouts of a deploy. Pure: sfdisk reads and writes them.

Every start and size is in sectors, as sfdisk has them.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from provisioner.agent.errors import CommandError

MIB = 2**20
GPT_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
GPT_SWAP = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"
GPT_DATA = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"  # "basic data": what holds a FAT file system
MBR_SWAP, MBR_FAT32 = "82", "c"
MBR_EXTENDED = ("5", "f", "85")
MBR_PRIMARIES = 4
MBR_MAX_SECTORS = 2**32 - 1  # start and size are 32-bit numbers
GPT_FIRST_SECTOR = {512: 34, 4096: 6}  # behind MBR, header and 128 entries
GPT_TAIL_SECTORS = 33  # the table's backup at the disk's end: 32 of entries (512-byte sectors), 1 of header


class Partition(NamedTuple):
    number: int
    start: int
    size: int
    type: str
    uuid: str = ""
    name: str = ""
    attrs: str = ""
    bootable: bool = False

    @property
    def end(self) -> int:
        return self.start + self.size

    def line(self) -> str:
        fields = [f"start={self.start}", f"size={self.size}", f"type={self.type}"]
        fields += [f"uuid={self.uuid}"] if self.uuid else []
        fields += [f'name="{self.name}"'] if self.name else []
        fields += [f'attrs="{self.attrs}"'] if self.attrs else []
        fields += ["bootable"] if self.bootable else []
        return f"{self.number}: " + ", ".join(fields)


class Table(NamedTuple):
    label: str  # gpt or dos
    label_id: str
    sector_bytes: int
    disk_sectors: int
    partitions: tuple[Partition, ...]

    def script(self) -> str:
        """Input of sfdisk."""
        head = [f"label: {self.label}", f"label-id: {self.label_id}", "unit: sectors"]
        if self.label == "gpt":
            head.append(f"first-lba: {GPT_FIRST_SECTOR[self.sector_bytes]}")
        return "\n".join([*head, "", *(partition.line() for partition in self.partitions), ""])

    @property
    def end(self) -> int:
        """The first sector that no partition may have, on a whole MiB."""
        usable = self.disk_sectors
        if self.label == "gpt":
            usable -= GPT_TAIL_SECTORS
        else:
            usable = min(usable, MBR_MAX_SECTORS)
        return usable - usable % self.mib

    @property
    def mib(self) -> int:
        return MIB // self.sector_bytes


class Layout(NamedTuple):
    """A table with what is where: partition numbers, None where there is none."""

    table: Table
    root: int | None
    swap: int | None
    config: int | None


def parse(dump: Mapping[str, Any], disk_sectors: int) -> Table:
    """From what `sfdisk --json` prints."""
    table = dump["partitiontable"]
    partitions = tuple(
        Partition(
            number=int(_digits_at_end(str(entry["node"]))),
            start=int(entry["start"]),
            size=int(entry["size"]),
            type=str(entry["type"]),
            uuid=str(entry.get("uuid", "")),
            name=str(entry.get("name", "")),
            attrs=str(entry.get("attrs", "")),
            bootable=bool(entry.get("bootable", False)),
        )
        for entry in table.get("partitions", ())
    )
    return Table(str(table["label"]), str(table["id"]), int(table["sectorsize"]), disk_sectors, partitions)


def around_root_filesystem(
    *,
    seed: uuid.UUID,
    sector: int,
    disk_sectors: int,
    offset_bytes: int,
    root_bytes: int,
    swap_mib: int,
    config_mib: int,
) -> Layout:
    """A new table around a root file system that lies at offset_bytes already: root, swap, config drive."""
    table = Table("gpt", _id(seed, "disk"), sector, disk_sectors, ())
    start = offset_bytes // sector
    config_start = table.end - config_mib * table.mib
    swap_start = config_start - swap_mib * table.mib
    _check_room(table, start + -(-root_bytes // sector), swap_start, swap_mib + config_mib)
    root = Partition(1, start, swap_start - start, GPT_LINUX, _id(seed, "root"), "root")
    swap, config = _extras(table, seed, 2, swap_start, config_start, swap_mib, config_mib)
    parts = tuple(part for part in (root, swap, config) if part is not None)
    return Layout(table._replace(partitions=parts), 1, _number(swap), _number(config))


def inside_whole_disk(
    found: Table, *, seed: uuid.UUID, root: int | None, swap_mib: int, config_mib: int
) -> Layout:
    """The table that came with a whole-disk image, made to fit this disk: swap and config drive at its
    end, and the root partition enlarged if nothing lies behind it. Done twice, the same comes out."""
    config_start = found.end - config_mib * found.mib
    swap_start = config_start - swap_mib * found.mib
    swap, config = _extras(found, seed, 0, swap_start, config_start, swap_mib, config_mib)
    ours = {_place(part) for part in (swap, config) if part is not None}
    theirs = [part for part in found.partitions if _place(part) not in ours]
    _check_room(found, max((part.end for part in theirs), default=0), swap_start, swap_mib + config_mib)
    needed = bool(swap_mib) + bool(config_mib)
    numbers = _free_numbers(found.label, theirs, needed)
    grown = [_grown(part, theirs, swap_start) if part.number == root else part for part in theirs]
    if swap is not None:
        swap = swap._replace(number=numbers.pop(0))
    if config is not None:
        config = config._replace(number=numbers.pop(0))
    parts = (*grown, *(part for part in (swap, config) if part is not None))
    return Layout(found._replace(partitions=parts), root, _number(swap), _number(config))


def _grown(root: Partition, theirs: list[Partition], end: int) -> Partition:
    behind = [part for part in theirs if part.start >= root.end]
    inside_extended = any(part.type in MBR_EXTENDED and part.start < root.start < part.end for part in theirs)
    return root if behind or inside_extended else root._replace(size=end - root.start)


def _extras(
    table: Table,
    seed: uuid.UUID,
    number: int,
    swap_start: int,
    config_start: int,
    swap_mib: int,
    config_mib: int,
) -> tuple[Partition | None, Partition | None]:
    gpt = table.label == "gpt"
    swap = config = None
    if swap_mib:
        swap = Partition(number, swap_start, swap_mib * table.mib, GPT_SWAP if gpt else MBR_SWAP)
        swap = swap._replace(uuid=_id(seed, "swap"), name="swap") if gpt else swap
    if config_mib:
        number += bool(swap_mib)
        config = Partition(number, config_start, config_mib * table.mib, GPT_DATA if gpt else MBR_FAT32)
        config = config._replace(uuid=_id(seed, "config"), name="config") if gpt else config
    return swap, config


def _free_numbers(label: str, theirs: list[Partition], needed: int) -> list[int]:
    """Behind the numbers taken: an image's own boot loader may count on the others."""
    taken = {part.number for part in theirs}
    last = MBR_PRIMARIES if label == "dos" else 128
    free = [number for number in range(1, last + 1) if number not in taken][:needed]
    if len(free) < needed:
        raise CommandError(
            "partition-table-full",
            f"the image's {label} table has {len(free)} free entries, {needed} are needed for swap and "
            "config drive: use a GPT image, or a flavor without swap",
        )
    return free


def _check_room(table: Table, content_end: int, free_end: int, extras_mib: int) -> None:
    if content_end > free_end:
        missing = -(-(content_end - free_end) // table.mib)
        raise CommandError(
            "disk-too-small",
            f"the disk has {table.disk_sectors // table.mib} MiB; the image and {extras_mib} MiB of swap and "
            f"config drive need {missing} MiB more",
        )


def _place(partition: Partition) -> tuple[int, int, str]:
    return (partition.start, partition.size, partition.type.upper())


def _id(seed: uuid.UUID, what: str) -> str:
    return str(uuid.uuid5(seed, what)).upper()


def _number(partition: Partition | None) -> int | None:
    return partition.number if partition is not None else None


def _digits_at_end(text: str) -> str:
    return text[len(text.rstrip("0123456789")) :]
