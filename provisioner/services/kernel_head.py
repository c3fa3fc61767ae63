"""For which architecture a kernel is, by its head: a boot loader starts no other, and says little of why."""

from __future__ import annotations

import struct
import zlib

HEAD_BYTES = 64 * 1024
"""Of the file: packed, what is looked at lies in less."""

_LOOKED_AT_BYTES = 1024

_GZIP = b"\x1f\x8b"  # RFC 1952 §2.3.1
_GZIP_WBITS = 16 + zlib.MAX_WBITS

_MAGIC = (
    (0x38, b"ARMd", "arm64"),  # Linux, Documentation/arch/arm64/booting.rst
    (0x24, struct.pack("<I", 0x016F2818), "armhf"),  # of a zImage: Linux, arch/arm/boot/compressed/head.S
    (0x202, b"HdrS", "x86_64"),  # of a bzImage: Linux, Documentation/arch/x86/boot.rst
)

_ELF = b"\x7fELF"
_MACHINE_AT = 0x12
_MACHINE = {1: "<H", 2: ">H"}  # by EI_DATA, at byte 5
_MACHINES = {3: "x86_64", 62: "x86_64", 40: "armhf", 183: "arm64", 188: "tilepro64"}
"""By e_machine. A PC starts what is for 32 bits, too."""


def architecture_of(head: bytes) -> str:
    """By the first `HEAD_BYTES`, or all, if fewer; gzip-packed or not. Empty: they don't tell."""
    if head.startswith(_GZIP):
        try:
            head = zlib.decompressobj(_GZIP_WBITS).decompress(head, _LOOKED_AT_BYTES)
        except zlib.error:
            return ""
    if head.startswith(_ELF):
        order = _MACHINE.get(head[5]) if len(head) >= _MACHINE_AT + 2 else None
        return _MACHINES.get(struct.unpack_from(order, head, _MACHINE_AT)[0], "") if order else ""
    return next((arch for at, magic, arch in _MAGIC if head[at:].startswith(magic)), "")
