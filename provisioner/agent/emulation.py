"""What an emulated CPU wants done differently. To be called before anything imports hashlib."""

from __future__ import annotations

import os

CPUID = "/dev/cpu/0/cpuid"  # of the x86 kernel module of that name
HYPERVISOR_LEAF = 0x40000000  # the offset in that device is the leaf; EBX, ECX and EDX hold the name
QEMU_EMULATOR = b"TCGTCGTCGTCG"


def prefer_plain_code_if_emulated() -> None:
    """OpenSSL's vector code is a disaster under QEMU's emulator: SHA-256 makes 17 MB/s with it, 79 without
    (measured with QEMU 7.2). OpenSSL reads this variable when it is loaded."""
    try:
        fd = os.open(CPUID, os.O_RDONLY)
    except OSError:  # another architecture
        return
    try:
        registers = os.pread(fd, 16, HYPERVISOR_LEAF)
    finally:
        os.close(fd)
    if registers[4:] == QEMU_EMULATOR:
        os.environ["OPENSSL_ia32cap"] = "0:0"  # noqa: SIM112 - OpenSSL spells it so
