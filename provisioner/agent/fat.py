"""A small FAT file system (FAT12 or FAT16), made in memory: long names, all files in the root folder.

Layout and field names after Microsoft, "FAT32 File System Specification" 1.03 (fatgen103). Written as
one image it needs no mount, no FAT in the kernel and no code pages, and reads back byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

RESERVED_SECTORS = 1
FATS = 2
ROOT_ENTRIES = 512
MEDIA = 0xF8  # fixed disk
FAT16_MIN_CLUSTERS, FAT16_MAX_CLUSTERS = 4085, 65524  # by their count alone a reader tells 12, 16 and 32
MAX_CLUSTER_SECTORS = 64
ATTR_VOLUME_ID, ATTR_ARCHIVE, ATTR_LONG_NAME = 0x08, 0x20, 0x0F
LAST_LONG_ENTRY = 0x40
LONG_NAME_CHARS = 13  # in one entry
DATE = 0x0021  # 1980-01-01, the first there is: equal content makes an equal image


class DoesNotFit(Exception):
    """The files are too many or too large for the volume; the message says which."""


class Geometry(NamedTuple):
    sector_bytes: int  # the disk's own: a reader refuses smaller ones
    sectors: int
    sectors_per_cluster: int
    fat_sectors: int

    @property
    def root_sectors(self) -> int:
        return ROOT_ENTRIES * 32 // self.sector_bytes

    @property
    def clusters(self) -> int:
        data = self.sectors - RESERVED_SECTORS - FATS * self.fat_sectors - self.root_sectors
        return data // self.sectors_per_cluster

    @property
    def cluster_bytes(self) -> int:
        return self.sectors_per_cluster * self.sector_bytes

    @property
    def bits(self) -> int:
        return 12 if self.clusters < FAT16_MIN_CLUSTERS else 16


def image(
    size_bytes: int, label: str, volume_id: int, files: Mapping[str, bytes], sector_bytes: int = 512
) -> bytes:
    """The volume's content up to the end of its last file; what lies behind may be anything.

    Raises DoesNotFit.
    """
    geometry = _geometry(size_bytes, sector_bytes)
    end_of_chain = 0xFFFF >> (16 - geometry.bits)
    table = [end_of_chain - 0xFF + MEDIA, end_of_chain]
    entries = [_entry(label.encode().ljust(11), ATTR_VOLUME_ID, 0, 0)]
    data = bytearray()
    for number, (name, content) in enumerate(files.items(), start=1):
        first = len(table) if content else 0
        count = -(-len(content) // geometry.cluster_bytes)
        if count:
            table += [*range(first + 1, first + count), end_of_chain]
        data += content.ljust(count * geometry.cluster_bytes, b"\0")
        short = b"FILE%04d   " % number  # any name will do that no other file has: readers use the long one
        entries += [*_long_name(name, short), _entry(short, ATTR_ARCHIVE, first, len(content))]
    if len(table) - 2 > geometry.clusters or len(entries) > ROOT_ENTRIES:
        raise DoesNotFit(f"{len(data)} bytes in {len(files)} files, in a volume of {size_bytes} bytes")
    fat = _packed(table, geometry.bits).ljust(geometry.fat_sectors * sector_bytes, b"\0")
    root = b"".join(entries).ljust(geometry.root_sectors * sector_bytes, b"\0")
    return _boot_sector(geometry, label, volume_id) + fat * FATS + root + bytes(data)


def _geometry(size_bytes: int, sector_bytes: int) -> Geometry:
    sectors = size_bytes // sector_bytes
    per_cluster = 1
    while sectors // per_cluster > FAT16_MAX_CLUSTERS:
        per_cluster *= 2
    # Room for 16 bits for each cluster there could be: a little too large, which is allowed.
    fat_sectors = -(-2 * (sectors // per_cluster + 2) // sector_bytes)
    geometry = Geometry(sector_bytes, sectors, per_cluster, fat_sectors)
    if geometry.clusters < 1 or per_cluster > MAX_CLUSTER_SECTORS:
        raise DoesNotFit(f"no FAT16 can have {size_bytes} bytes")
    return geometry


def _packed(table: Sequence[int], bits: int) -> bytes:
    if bits == 16:
        return struct.pack(f"<{len(table)}H", *table)
    packed = 0
    for entry in reversed(table):
        packed = packed << 12 | entry
    return packed.to_bytes(-(-len(table) * 12 // 8), "little")


def _boot_sector(geometry: Geometry, label: str, volume_id: int) -> bytes:
    small = geometry.sectors if geometry.sectors < 0x10000 else 0
    large = 0 if small else geometry.sectors
    head = struct.pack(
        "<3s8sHBHBHHBHHHII",
        b"\xeb\x3c\x90",  # a jump over the fields, which some readers want to see
        b"MSWIN4.1",  # "the setting least likely to cause compatibility problems" (fatgen103)
        geometry.sector_bytes,
        geometry.sectors_per_cluster,
        RESERVED_SECTORS,
        FATS,
        ROOT_ENTRIES,
        small,
        MEDIA,
        geometry.fat_sectors,
        63,  # sectors per track, and
        255,  # heads: of a disk that nobody addresses so
        0,
        large,
    )
    extended = struct.pack(
        "<BBBI11s8s", 0x80, 0, 0x29, volume_id, label.encode().ljust(11), b"FAT%d   " % geometry.bits
    )
    return (head + extended).ljust(510, b"\0") + b"\x55\xaa" + b"\0" * (geometry.sector_bytes - 512)


def _entry(short: bytes, attributes: int, first_cluster: int, size: int) -> bytes:
    times = struct.pack("<BBHHHHHH", 0, 0, 0, DATE, DATE, 0, 0, DATE)
    return short + bytes([attributes]) + times + struct.pack("<HI", first_cluster, size)


def _long_name(name: str, short: bytes) -> list[bytes]:
    """The entries that precede the short one, last part of the name first."""
    checksum = 0
    for byte in short:
        checksum = ((checksum >> 1) + ((checksum & 1) << 7) + byte) & 0xFF
    units = name.encode("utf-16-le")
    if len(name) % LONG_NAME_CHARS:
        units += b"\0\0"  # a name that fills its entries has no end mark
    pieces = [units[at : at + 2 * LONG_NAME_CHARS] for at in range(0, len(units), 2 * LONG_NAME_CHARS)]
    entries = []
    for order, piece in enumerate(pieces, start=1):
        padded = piece.ljust(2 * LONG_NAME_CHARS, b"\xff")
        mark = order | (LAST_LONG_ENTRY if order == len(pieces) else 0)
        head = struct.pack("<B10sBBB", mark, padded[:10], ATTR_LONG_NAME, 0, checksum)
        entries.append(head + padded[10:22] + b"\0\0" + padded[22:])
    return entries[::-1]
