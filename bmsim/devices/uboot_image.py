"""A script in U-Boot's legacy image format, as its `source` command takes it.

Source: U-Boot, include/image.h and boot/image.c
"""

from __future__ import annotations

import struct
import zlib

HEADER = struct.Struct(">IIIIIIIBBBB32s")
MAGIC = 0x27051956
SCRIPT_TYPE = 6


def script_in(image: bytes) -> str | None:
    """Its text; None: this is no script, or one whose checksums are wrong."""
    if len(image) < HEADER.size:
        return None
    magic, checksum, _, size, _, _, data_checksum, _, _, kind, compression, _ = HEADER.unpack_from(image)
    # The header's checksum is over itself, with zeros in its own place.
    header = image[:4] + bytes(4) + image[8 : HEADER.size]
    data = image[HEADER.size : HEADER.size + size]
    if magic != MAGIC or kind != SCRIPT_TYPE or compression or zlib.crc32(header) != checksum:
        return None
    if len(data) != size or zlib.crc32(data) != data_checksum:
        return None
    # A list of lengths that a zero ends; the first of the parts is the script.
    (length,) = struct.unpack_from(">I", data)
    at = 4 * (1 + next(place for place in range(size // 4) if data[4 * place : 4 * place + 4] == bytes(4)))
    return data[at : at + length].decode("utf-8", "replace")
