"""Network boot by iPXE: what a node is given, as a script, files, and the boot files that DHCP names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from provisioner.core.errors import InvalidInput
from provisioner.core.model import PublicationKind
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.netboot import Loader, NetbootService, Offer

SCRIPT = "boot.ipxe"

_TEMPLATES = {
    PublicationKind.AGENT: "kernel.ipxe",
    PublicationKind.INSTANCE: "kernel.ipxe",
    PublicationKind.LOCAL_DISK: "local_disk.ipxe",
}
_WHAT = {
    PublicationKind.AGENT: "the deploy ramdisk",
    PublicationKind.INSTANCE: "its instance",
    PublicationKind.LOCAL_DISK: "its own disk",
}

# iPXE has no quoting: these would end the command, or be expanded.
_UNSAFE = re.compile(r"[^\x20-\x7e]|\$\{|(?:^|\s)(?:\|\||&&|#)")


class IpxePublisher:
    """`protocols.boot.BootPublisher`. Services are told in the order given: DHCP comes last, so that
    what it names is there."""

    def __init__(
        self, services: Sequence[NetbootService], base_url: str, loaders: Mapping[Loader, Path]
    ) -> None:
        """base_url: of the HTTP server among the services."""
        self._services = services
        self._base_url = base_url
        self._loaders = loaders

    async def publish(self, entry: BootEntry) -> None:
        offer = make_offer(entry, self._base_url, self._loaders)
        for service in self._services:
            await service.offer(offer)

    async def withdraw(self, node_id: str) -> None:
        for service in reversed(self._services):
            await service.withdraw(node_id)


def make_offer(entry: BootEntry, base_url: str, loaders: Mapping[Loader, Path]) -> Offer:
    """What the services give, for what is published. Raises InvalidInput for a command line that
    iPXE can't hand to a kernel."""
    if entry.kind is PublicationKind.NOTHING:
        return Offer(
            node_id=entry.node_id, node_name=entry.node_name, macs=entry.macs, addresses=entry.addresses
        )
    url = f"{base_url}/boot/{entry.token}"
    http_loader = loaders[Loader.UEFI_HTTP]
    by_tftp = {loader: loaders[loader] for loader in (Loader.BIOS, Loader.UEFI)}
    return Offer(
        node_id=entry.node_id,
        node_name=entry.node_name,
        macs=entry.macs,
        addresses=entry.addresses,
        token=entry.token,
        bearer=entry.token if entry.kind is PublicationKind.AGENT else "",
        boot_files={
            Loader.IPXE: f"{url}/{SCRIPT}",
            Loader.UEFI_HTTP: f"{url}/{http_loader.name}",
            **{loader: path.name for loader, path in by_tftp.items()},
        },
        files={SCRIPT: script(entry, url), http_loader.name: http_loader, **entry.files},
        tftp_files={path.name: path for path in by_tftp.values()},
        nfs_root=entry.nfs_root,
    )


def script(entry: BootEntry, url: str) -> str:
    """The iPXE script of a node. Raises InvalidInput."""
    if unsafe := _UNSAFE.search(entry.command_line):
        raise InvalidInput(
            f"boot node {entry.node_name} by iPXE",
            field="command_line",
            answer=f"{unsafe.group(0).strip()!r} can't stand in a kernel's command line there",
        )
    template = resources.files("provisioner.drivers").joinpath("ipxe_scripts", _TEMPLATES[entry.kind])
    words = {
        "NODE": entry.node_name,
        "WHAT": _WHAT[entry.kind],
        "URL": url,
        "COMMAND_LINE": entry.command_line,
    }
    return re.sub(r"@([A-Z_]+)@", lambda word: words[word[1]], template.read_text(encoding="utf-8"))
