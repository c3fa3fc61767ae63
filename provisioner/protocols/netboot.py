from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class Loader(StrEnum):
    """Who asks for a boot file, as DHCP tells: iPXE itself, or firmware that has to load iPXE first."""

    IPXE = "ipxe"
    BIOS = "bios"  # PXE ROM of a BIOS, by TFTP
    UEFI = "uefi"  # UEFI PXE on x86_64, by TFTP
    UEFI_HTTP = "uefi_http"  # UEFI HTTP boot on x86_64
    UEFI_ARM64 = "uefi_arm64"  # UEFI PXE on arm64, by TFTP
    # U-Boot on arm and arm64, by TFTP. Some tells what it is, some nothing: whoever is none of the others.
    UBOOT = "uboot"
    ANY = "any"  # whoever asks by the node's MAC address: firmware that says nothing of itself, by TFTP


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one node finds on the network, in the terms of the services that give it.

    boot_files: what DHCP names to each kind of client: a TFTP file or a URL; empty = an address only
    files:      by HTTP, below /boot/<token>/; text is served as it is
    tftp_files: by TFTP; bytes are served as they are
    tftp_ahead: those of which the client takes blocks that come before it acknowledged the ones before
    nfs_root:   its root directory, by NFS, read and write
    root_path:  SERVER:PATH,OPTIONS of it, for a kernel that asks DHCP for its root (RFC 2132 §3.19)
    bearer:     token that its agent reports with; empty when no agent is booted
    """

    node_id: str
    node_name: str
    macs: tuple[str, ...]
    addresses: tuple[str, ...]  # same order
    token: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)
    boot_files: Mapping[Loader, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, Path | str] = field(default_factory=dict, repr=False)
    tftp_files: Mapping[str, Path | bytes] = field(default_factory=dict, repr=False)
    tftp_ahead: frozenset[str] = frozenset()
    nfs_root: Path | None = None
    root_path: str = ""


class NetbootService(Protocol):
    """One of the daemons that nodes boot from."""

    async def offer(self, offer: Offer) -> None:
        """Replaces what was offered to this node; returns when it is in force. Idempotent."""
        ...

    async def withdraw(self, node_id: str) -> None:
        """The node is unknown from now on. Idempotent."""
        ...


class RootService(NetbootService, Protocol):
    """The one that serves roots by NFS."""

    def roots(self) -> Mapping[str, str]:
        """What it serves: node → its folder's name."""
        ...
