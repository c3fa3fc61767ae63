"""Network boot by iPXE: what a node is given, as a script, files, and the boot files that DHCP names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from provisioner.core.command_line import unsafe_in
from provisioner.core.errors import InvalidInput
from provisioner.core.model import PublicationKind
from provisioner.drivers.boot_script import filled_in
from provisioner.drivers.offer_publisher import Dialect, offer_of
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.netboot import Loader, Offer

SCRIPT = "boot.ipxe"


def make_offer(entry: BootEntry, base_url: str, loaders: Mapping[Loader, Path]) -> Offer:
    """What the services give, for what is published. Raises InvalidInput for a command line that
    iPXE can't hand to a kernel."""
    if entry.kind is PublicationKind.NOTHING:
        return offer_of(entry, boot_files={})
    url = f"{base_url}/boot/{entry.token}"
    http_loader = loaders[Loader.UEFI_HTTP]
    by_tftp = {loader: loaders[loader] for loader in (Loader.BIOS, Loader.UEFI)}
    return offer_of(
        entry,
        boot_files={
            Loader.IPXE: f"{url}/{SCRIPT}",
            Loader.UEFI_HTTP: f"{url}/{http_loader.name}",
            **{loader: path.name for loader, path in by_tftp.items()},
        },
        files={SCRIPT: script(entry, url), http_loader.name: http_loader, **entry.files},
        tftp_files={path.name: path for path in by_tftp.values()},
    )


def script(entry: BootEntry, url: str) -> str:
    """The iPXE script of a node. Raises InvalidInput."""
    if unsafe := unsafe_in(entry.command_line, "ipxe"):
        raise InvalidInput(
            f"boot node {entry.node_name} by iPXE",
            field="command_line",
            answer=f"{unsafe!r} can't stand in a kernel's command line there",
        )
    return filled_in("ipxe_scripts", "ipxe", entry, {"URL": url})


def dialect(base_url: str, loaders: Mapping[Loader, Path]) -> Dialect:
    """base_url: of the HTTP server among the services."""
    return lambda entry: make_offer(entry, base_url, loaders)
