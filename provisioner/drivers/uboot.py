"""Network boot by U-Boot: its boot script, and the files that this loads, all by TFTP."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from provisioner.core.command_line import unsafe_in
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

PACKED = "kernel.gz"
"""Its name by TFTP. booti unpacks a kernel; the zImage that bootz takes unpacks itself."""

# The legacy image format. Source: U-Boot, include/image.h
_HEADER = struct.Struct(">IIIIIIIBBBB32s")
_MAGIC = 0x27051956
_LINUX = 5
_ARCHITECTURES = {"armhf": 2, "arm64": 22}
_TYPE_SCRIPT = 6

# In single quotes U-Boot's shells take everything as it is, up to the next one; but backslashes, which the
# old one drops even there (common/cli_hush.c, done_word), and that of 2024 keeps (cli_hush_upstream.c).
# Behind a backslash that isn't quoted both take any letter as it is.
_NOT_QUOTED = re.compile(r"[\\']")


def packing(twin: Callable[[Path], Awaitable[Path | None]]) -> Callable[[BootEntry], Awaitable[BootEntry]]:
    """Adds the gzipped twin of the kernel to what is published, where it is a third of the bytes.

    twin: returns None where there is none
    """

    async def packed(entry: BootEntry) -> BootEntry:
        kernel = entry.files.get("kernel")
        if entry.boot_driver != "uboot" or _BOOT_COMMANDS[entry.arch] != "booti" or kernel is None:
            return entry
        found = await twin(kernel)
        return replace(entry, files={**entry.files, PACKED: found}) if found else entry

    return packed


def make_offer(entry: BootEntry) -> Offer:
    """What the services give, for what is published. Raises InvalidInput for a command line that U-Boot can't
    hand to a kernel."""
    if entry.kind is PublicationKind.NOTHING:
        return offer_of(entry, boot_files={})
    tftp_files: dict[str, Path | bytes] = {SCRIPT: image_of(script(entry), entry.arch), **entry.files}
    return offer_of(entry, boot_files={Loader.UBOOT: SCRIPT}, tftp_files=tftp_files)


def script(entry: BootEntry) -> str:
    """The commands of a node's boot. Raises InvalidInput."""
    if unsafe := unsafe_in(entry.command_line, "uboot"):
        raise InvalidInput(
            f"boot node {entry.node_name} by U-Boot",
            field="command_line",
            answer=f"{unsafe!r} can't stand in a kernel's command line there",
        )
    # Where its twin can't be had, the kernel as it is.
    names = [name for name in (PACKED, "kernel") if name in entry.files]
    load = " || ".join(f"tftpboot ${{kernel_addr_r}} ${{serverip}}:{name}" for name in names)
    words = {
        "BOOT": _BOOT_COMMANDS[entry.arch],
        "LOAD_KERNEL": load,
        "COMMAND_LINE": _quoted(entry.command_line),
    }
    return filled_in("uboot_scripts", "cmd", entry, words)


def _quoted(text: str) -> str:
    """As one word, which any of U-Boot's shells makes the same of."""
    return "'" + _NOT_QUOTED.sub(r"'\\\g<0>'", text) + "'"


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
