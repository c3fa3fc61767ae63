"""The boot loaders that firmware is given: iPXE as Debian builds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from provisioner.core.errors import PermanentError
from provisioner.protocols.netboot import Loader

FOLDER = Path("/usr/lib/ipxe")

# The builds that use the firmware's own network driver: they run on every NIC that the firmware
# could boot from, and don't reset a link that just came up.
FILES = {Loader.BIOS: "undionly.kpxe", Loader.UEFI: "snponly.efi", Loader.UEFI_HTTP: "snponly.efi"}


def find_loaders(folder: Path = FOLDER) -> Mapping[Loader, Path]:
    """The file for each kind of firmware. Raises PermanentError naming the package that brings them."""
    found = {loader: folder / name for loader, name in FILES.items()}
    missing = sorted({str(path) for path in found.values() if not path.is_file()})
    if missing:
        raise PermanentError(
            "find the network boot loaders",
            answer=f"{', '.join(missing)} not there",
            advice="Install the package ipxe",
        )
    return found
