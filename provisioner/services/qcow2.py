"""The head of a qcow2 file, read without trusting it.

qemu-img opens whatever file a qcow2 names as its backing or data file, so what names one must not reach
it (CVE-2024-32498). Layout: https://www.qemu.org/docs/master/interop/qcow2.html
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = b"QFI\xfb"
HEAD_BYTES = 64 * 1024  # what `read` wants to see: the header and its extensions lie in the first cluster

_VERSION_2 = struct.Struct(">4sIQIIQIIQQIIQ")
_INCOMPATIBLE = struct.Struct(">Q")  # features, at byte 72; version 3 only
_HEADER_LENGTH = struct.Struct(">I")  # at byte 100; version 3 only
_EXTENSION = struct.Struct(">II")
_DATA_FILE_EXTENSION = 0x44415441

_CORRUPT = 1 << 1
_DATA_FILE = 1 << 2


@dataclass(frozen=True, slots=True)
class Qcow2Head:
    """virtual_size_bytes: as a disk. fault: why it can't be deployed, advice: what to do; both empty
    when it can."""

    virtual_size_bytes: int
    cluster_bytes: int
    fault: str
    advice: str = ""


_FLATTEN = "Make one file of it first: qemu-img convert -O qcow2 IMAGE WHOLE-IMAGE"
_DECRYPT = "Decrypt it first: qemu-img convert"
_REPAIR = "Look at it with qemu-img check, or get it anew"
_FORMAT = "Register it by the format that it has"


def read(head: bytes) -> Qcow2Head:
    """Reads the first `HEAD_BYTES` (or all, if fewer) of a qcow2 file."""
    if len(head) < _VERSION_2.size or head[:4] != MAGIC:
        return Qcow2Head(0, 0, "it has no qcow2 header", _FORMAT)
    _, version, backing_offset, _, cluster_bits, size, encryption, *_ = _VERSION_2.unpack_from(head)
    if not 9 <= cluster_bits <= 21:
        return Qcow2Head(0, 0, f"its clusters of 2**{cluster_bits} bytes can't be", _REPAIR)
    return Qcow2Head(size, 1 << cluster_bits, *_fault(head, version, backing_offset, encryption))


def _fault(head: bytes, version: int, backing_offset: int, encryption: int) -> tuple[str, str]:
    """What is wrong with it, and what to do about it; both empty when nothing is."""
    if version not in (2, 3):
        return f"it is qcow version {version}, and only 2 and 3 are known", _FLATTEN
    if backing_offset:
        return "it has a backing file, so it holds a part of an image only", _FLATTEN
    if encryption:
        return "it is encrypted", _DECRYPT
    header_bytes = _VERSION_2.size
    if version == 3:
        if len(head) < 104:
            return "its header is cut off", _REPAIR
        (features,) = _INCOMPATIBLE.unpack_from(head, 72)
        if features & _DATA_FILE:
            return "its data is in another file", _FLATTEN
        if features & _CORRUPT:
            return "it is marked as corrupt", _REPAIR
        (header_bytes,) = _HEADER_LENGTH.unpack_from(head, 100)
    if _DATA_FILE_EXTENSION in _extensions(head, header_bytes):
        return "it names another file for its data", _FLATTEN
    return "", ""


def _extensions(head: bytes, offset: int) -> list[int]:
    kinds = []
    while offset + _EXTENSION.size <= len(head):
        kind, length = _EXTENSION.unpack_from(head, offset)
        if kind == 0:
            break
        kinds.append(kind)
        offset += _EXTENSION.size + (length + 7) // 8 * 8
    return kinds
