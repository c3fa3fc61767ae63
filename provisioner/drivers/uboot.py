"""Network boot by U-Boot: its boot script, and the files that this loads, all by TFTP."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

from provisioner.core.errors import InvalidInput
from provisioner.core.model import PublicationKind
from provisioner.drivers.boot_script import filled_in
from provisioner.drivers.offer_publisher import offer_of
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.netboot import Loader, Offer

SCRIPT = "boot.scr.uimg"
"""What U-Boot asks for by itself, after DHCP (`boot_script_dhcp` in its include/config_distro_bootcmd.h)."""

# Which command starts a kernel as Debian packages it.
_BOOT_COMMANDS = {"arm64": "booti", "armhf": "bootz"}

# The legacy image format. Source: U-Boot, include/image.h
_HEADER = struct.Struct(">IIIIIIIBBBB32s")
_MAGIC = 0x27051956
_LINUX = 5
_ARCHITECTURES = {"armhf": 2, "arm64": 22}
_TYPE_SCRIPT = 6

# In single quotes U-Boot's shell takes everything as it is, up to the next one; a line is a command.
_UNSAFE = re.compile(r"[^\x20-\x7e]|'")


def make_offer(entry: BootEntry) -> Offer:
    """What the services give, for what is published. Raises InvalidInput for a command line that U-Boot can't
    hand to a kernel."""
    if entry.kind is PublicationKind.NOTHING:
        return offer_of(entry, boot_files={})
    tftp_files: dict[str, Path | bytes] = {SCRIPT: image_of(script(entry), entry.arch), **entry.files}
    return offer_of(entry, boot_files={Loader.UBOOT: SCRIPT}, tftp_files=tftp_files)


def script(entry: BootEntry) -> str:
    """The commands of a node's boot. Raises InvalidInput."""
    if unsafe := _UNSAFE.search(entry.command_line):
        raise InvalidInput(
            f"boot node {entry.node_name} by U-Boot",
            field="command_line",
            answer=f"{unsafe.group(0)!r} can't stand in a kernel's command line there",
        )
    return filled_in("uboot_scripts", "cmd", entry, {"BOOT": _BOOT_COMMANDS[entry.arch]})


def image_of(text: str, arch: str) -> bytes:
    """A script as U-Boot's `source` takes it: a header with checksums, a list of lengths, the text."""
    content = text.encode()
    data = struct.pack(">II", len(content), 0) + content

    def header(checksum: int) -> bytes:
        return _HEADER.pack(
            *(_MAGIC, checksum, 0, len(data), 0, 0, zlib.crc32(data)),
            *(_LINUX, _ARCHITECTURES[arch], _TYPE_SCRIPT, 0),
            b"provisioner",
        )

    return header(zlib.crc32(header(0))) + data
