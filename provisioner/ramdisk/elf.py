"""Which shared libraries a program needs: ELF read directly, so that it works for any architecture."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from provisioner.ramdisk.errors import RamdiskError

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED, DT_STRTAB = 0, 1, 5


@dataclass(frozen=True, slots=True)
class Needs:
    interpreter: str  # path of the dynamic linker, "" for a library or a static program
    libraries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Segment:
    type: int
    offset: int
    address: int
    size: int


def needs(path: Path) -> Needs:
    """ELF specification 1.2, book I, chapters 4 and 5; little-endian, 32 and 64 bits."""
    data = path.read_bytes()
    if data[:4] != b"\x7fELF" or data[5] != 1:
        raise RamdiskError(f"{path} is no little-endian ELF file")
    wide = data[4] == 2
    segments = _segments(data, wide)
    interpreter = next((_text(data, s.offset) for s in segments if s.type == PT_INTERP), "")
    dynamic = next((s for s in segments if s.type == PT_DYNAMIC), None)
    if dynamic is None:
        return Needs(interpreter, ())
    entry = struct.Struct("<qQ" if wide else "<iI")
    raw = data[dynamic.offset : dynamic.offset + dynamic.size - dynamic.size % entry.size]
    tags = []
    for tag, value in entry.iter_unpack(raw):
        if tag == DT_NULL:
            break
        tags.append((tag, value))
    strings_at = next((_file_offset(segments, value) for tag, value in tags if tag == DT_STRTAB), 0)
    names = tuple(_text(data, strings_at + value) for tag, value in tags if tag == DT_NEEDED)
    return Needs(interpreter, names)


def _segments(data: bytes, wide: bool) -> list[_Segment]:
    table, entry_size, count = (
        (struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54))
        if wide
        else (struct.unpack_from("<I", data, 28)[0], *struct.unpack_from("<HH", data, 42))
    )
    found = []
    for index in range(count):
        at = table + index * entry_size
        if wide:
            kind, _flags, offset, address, _physical, size = struct.unpack_from("<IIQQQQ", data, at)
        else:
            kind, offset, address, _physical, size = struct.unpack_from("<IIIII", data, at)
        found.append(_Segment(kind, offset, address, size))
    return found


def _file_offset(segments: list[_Segment], address: int) -> int:
    for segment in segments:
        if segment.type == PT_LOAD and segment.address <= address < segment.address + segment.size:
            return address - segment.address + segment.offset
    raise RamdiskError(f"address {address:#x} lies in no segment of the file")


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()
