"""Which processor a program is for, by its ELF header (ELF specification 1.2, book I, chapter 1)."""

from __future__ import annotations

HEAD_BYTES = 20
"""Up to the end of e_machine."""

TILEPRO = 188
"""EM_TILEPRO. Source: the generic ABI's registry of machines; Linux 4.16, include/uapi/linux/elf-em.h"""

X86_64 = 62

NAMES = {3: "80386", 40: "ARM", X86_64: "x86-64", 183: "AArch64", TILEPRO: "TILEPro", 191: "TILE-Gx"}


def machine_of(head: bytes) -> int | None:
    """None: no ELF file."""
    if len(head) < HEAD_BYTES or head[:4] != b"\x7fELF":
        return None
    return int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")


def told(machine: int | None) -> str:
    """As a console says it."""
    return "no ELF file" if machine is None else f"ELF machine {machine} ({NAMES.get(machine, 'unknown')})"
