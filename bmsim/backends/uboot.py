"""The flash of an arm board: U-Boot as Debian builds it, and the environment that its owner has stored."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

FIRMWARE = {
    "arm64": Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin"),
    "armhf": Path("/usr/lib/u-boot/qemu_arm/u-boot.bin"),
}

FLASH_BYTES = 64 * 2**20
"""Of each of the two chips. Source: QEMU, hw/arm/virt.c"""

ENVIRONMENT_BYTES = 0x40000
"""CONFIG_ENV_SIZE of these builds, at the beginning of the second chip."""

ENVIRONMENT = {
    # As a rack's boards are set up: the network decides, and the disk is what it may decide for.
    "boot_targets": "dhcp virtio0",
    "bootdelay": "0",
}


def flash_files(folder: Path) -> tuple[Path, Path]:
    """The chips of a board whose files lie in `folder`: firmware, environment."""
    return folder / "u-boot.flash", folder / "environment.flash"


def make_flash(arch: str, folder: Path) -> None:
    """Writes both, as holes but for what they hold."""
    firmware, environment = flash_files(folder)
    for path, content in ((firmware, FIRMWARE[arch].read_bytes()), (environment, environment_of(arch))):
        with path.open("wb") as file:
            file.truncate(FLASH_BYTES)
            file.write(content)


def environment_of(arch: str) -> bytes:
    """The build's own defaults, which a stored environment replaces, with what the owner changed."""
    return packed({**defaults(FIRMWARE[arch].read_bytes()), **ENVIRONMENT})


def defaults(firmware: bytes) -> Mapping[str, str]:
    """The environment that the build has for a board without a stored one."""
    start = firmware.index(b"bootcmd=run distro_bootcmd\0")  # the first entry, by U-Boot's env_default.h
    end = firmware.index(b"\0\0", start)
    entries = firmware[start:end].decode("ascii").split("\0")
    return dict(entry.split("=", 1) for entry in entries)


def packed(variables: Mapping[str, str]) -> bytes:
    """As U-Boot stores it: a checksum, then the variables. Source: U-Boot, tools/mkenvimage.c"""
    text = b"".join(f"{name}={value}\0".encode() for name, value in sorted(variables.items()))
    data = text.ljust(ENVIRONMENT_BYTES - 4, b"\0")
    if len(data) != ENVIRONMENT_BYTES - 4:
        raise ValueError(f"an environment of {len(text)} bytes has no room in {ENVIRONMENT_BYTES - 4}")
    return struct.pack("<I", zlib.crc32(data)) + data
