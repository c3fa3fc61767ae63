"""Network boot by GRUB, which UEFI of arm64 is given in place of iPXE: all of it by TFTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from provisioner.core.command_line import unsafe_in
from provisioner.core.errors import InvalidInput
from provisioner.core.model import PublicationKind
from provisioner.drivers.boot_script import filled_in
from provisioner.drivers.offer_publisher import Dialect, offer_of
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.netboot import Loader, Offer

LOADER = "grubaa64.efi"

SCRIPTS = ("grub/arm64-efi/grub.cfg", "grub/grub.cfg")
"""What Debian's build for netboot asks for, one after the other, where it was fetched from."""

LISTS = tuple(f"grub/arm64-efi/{name}.lst" for name in ("command", "fs", "crypto", "terminal"))
"""Of modules that could be fetched: that build has those it needs inside."""


def dialect(loader: Callable[[str], Path]) -> Dialect:
    """loader: the boot loader of an architecture; raises PermanentError when there is none."""
    return lambda entry: make_offer(entry, loader)


def make_offer(entry: BootEntry, loader: Callable[[str], Path]) -> Offer:
    """What the services give, for what is published. Raises InvalidInput for a command line that GRUB can't
    hand to a kernel."""
    if entry.kind is PublicationKind.NOTHING:
        return offer_of(entry, boot_files={})
    tftp_files: dict[str, Path | bytes] = {LOADER: loader(entry.arch), **entry.files}
    tftp_files |= dict.fromkeys(SCRIPTS, script(entry).encode()) | dict.fromkeys(LISTS, b"")
    # GRUB's own, not the firmware's, which fetches the loader.
    ahead = frozenset(entry.files)
    return offer_of(entry, boot_files={Loader.UEFI_ARM64: LOADER}, tftp_files=tftp_files, tftp_ahead=ahead)


def script(entry: BootEntry) -> str:
    """The commands of a node's boot. Raises InvalidInput."""
    if unsafe := unsafe_in(entry.command_line, "grub"):
        raise InvalidInput(
            f"boot node {entry.node_name} by GRUB",
            field="command_line",
            answer=f"{unsafe!r} can't stand in a kernel's command line there",
        )
    # In single quotes its shell takes what is left as it is.
    words = " ".join(f"'{word}'" for word in entry.command_line.split())
    return filled_in("grub_scripts", "cfg", entry, {"COMMAND_LINE": words})
