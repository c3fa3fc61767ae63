"""Partition tables as values, and the two layouts of a deploy. Pure: sfdisk reads and writes them.

Every start and size is in sectors, as sfdisk has them.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from provisioner.agent.errors import CommandError

MIB = 2**20
GPT_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
GPT_SWAP = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"
GPT_DATA = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"  # "basic data": what holds a FAT file system
MBR_LINUX, MBR_SWAP, MBR_FAT32 = "83", "82", "c"
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
    ephemeral: int | None
    swap: int | None
    config: int | None


class Extra(NamedTuple):
    """A partition of ours behind the image's."""

    name: str
    mib: int
    gpt_type: str
    mbr_type: str


def extras(*, ephemeral_mib: int, swap_mib: int, config_mib: int) -> tuple[Extra, ...]:
    """Those that are asked for, in their order on the disk."""
    known = (
        Extra("ephemeral", ephemeral_mib, GPT_LINUX, MBR_LINUX),
        Extra("swap", swap_mib, GPT_SWAP, MBR_SWAP),
        Extra("config", config_mib, GPT_DATA, MBR_FAT32),
    )
    return tuple(extra for extra in known if extra.mib)


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
    extras: Sequence[Extra],
) -> Layout:
    """A new table around a root file system that lies at offset_bytes already: root, and ours behind it."""
    table = Table("gpt", _id(seed, "disk"), sector, disk_sectors, ())
    start, numbers = offset_bytes // sector, range(2, 2 + len(extras))
    ours = _placed(table, seed, extras, numbers)
    end = ours[0].start if ours else table.end
    _check_room(table, start + -(-root_bytes // sector), end, extras)
    root = Partition(1, start, end - start, GPT_LINUX, _id(seed, "root"), "root")
    return _layout(table._replace(partitions=(root, *ours)), 1, extras, numbers)


def brought_along(found: Table, extras: Sequence[Extra]) -> list[Partition]:
    """The partitions of a whole-disk image, without ours if they are there already."""
    ours = {_place(part) for part in _placed(found, uuid.UUID(int=0), extras, [0] * len(extras))}
    return [part for part in found.partitions if _place(part) not in ours]


def inside_whole_disk(found: Table, *, seed: uuid.UUID, root: int | None, extras: Sequence[Extra]) -> Layout:
    """The table that came with a whole-disk image, made to fit this disk: ours at its end, and the root
    partition enlarged if nothing lies behind it. Done twice, the same comes out."""
    theirs = brought_along(found, extras)
    end = found.end - sum(extra.mib for extra in extras) * found.mib
    _check_room(found, max((part.end for part in theirs), default=0), end, extras)
    numbers = _free_numbers(found.label, theirs, len(extras))
    ours = _placed(found, seed, extras, numbers)
    grown = [_grown(part, theirs, end) if part.number == root else part for part in theirs]
    return _layout(found._replace(partitions=(*grown, *ours)), root, extras, numbers)


def _grown(root: Partition, theirs: list[Partition], end: int) -> Partition:
    behind = [part for part in theirs if part.start >= root.end]
    inside_extended = any(part.type in MBR_EXTENDED and part.start < root.start < part.end for part in theirs)
    return root if behind or inside_extended else root._replace(size=end - root.start)


def _placed(
    table: Table, seed: uuid.UUID, extras: Sequence[Extra], numbers: Sequence[int]
) -> list[Partition]:
    """Ours, one behind the other up to the end of the disk."""
    gpt, placed = table.label == "gpt", []
    start = table.end - sum(extra.mib for extra in extras) * table.mib
    for extra, number in zip(extras, numbers, strict=True):
        part = Partition(number, start, extra.mib * table.mib, extra.gpt_type if gpt else extra.mbr_type)
        placed.append(part._replace(uuid=_id(seed, extra.name), name=extra.name) if gpt else part)
        start = part.end
    return placed


def _layout(table: Table, root: int | None, extras: Sequence[Extra], numbers: Sequence[int]) -> Layout:
    where = {extra.name: number for extra, number in zip(extras, numbers, strict=True)}
    return Layout(table, root, where.get("ephemeral"), where.get("swap"), where.get("config"))


def _free_numbers(label: str, theirs: list[Partition], needed: int) -> list[int]:
    """Behind the numbers taken: an image's own boot loader may count on the others."""
    taken = {part.number for part in theirs}
    last = MBR_PRIMARIES if label == "dos" else 128
    free = [number for number in range(1, last + 1) if number not in taken][:needed]
    if len(free) < needed:
        raise CommandError(
            "partition-table-full",
            f"the image's {label} table has {len(free)} free entries, {needed} are needed for "
            "ephemeral storage, swap and config drive: use a GPT image, or a flavor without them",
        )
    return free


def _check_room(table: Table, content_end: int, free_end: int, extras: Sequence[Extra]) -> None:
    if content_end > free_end:
        missing = -(-(content_end - free_end) // table.mib)
        wanted = ", ".join(f"{extra.name} {extra.mib}" for extra in extras)
        raise CommandError(
            "disk-too-small",
            f"the disk has {table.disk_sectors // table.mib} MiB; the image and what goes behind it "
            f"({wanted or 'nothing'} MiB) need {missing} MiB more",
        )


def _place(partition: Partition) -> tuple[int, int, str]:
    return (partition.start, partition.size, partition.type.upper())


def _id(seed: uuid.UUID, what: str) -> str:
    return str(uuid.uuid5(seed, what)).upper()


def _digits_at_end(text: str) -> str:
    return text[len(text.rstrip("0123456789")) :]
