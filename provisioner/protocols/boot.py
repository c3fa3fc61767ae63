from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from provisioner.core.model import PublicationKind


@dataclass(frozen=True, slots=True, kw_only=True)
class BootEntry:
    """All that a netbooting node may be given. `files` are the only ones it can fetch by HTTP:
    name → file, below /boot/<token>/."""

    node_id: str
    node_name: str
    arch: str
    firmware: str  # bios | uefi | uboot | tilera
    boot_driver: str = "ipxe"
    macs: tuple[str, ...]  # of its booting ports
    addresses: tuple[str, ...]  # their reservations, same order
    kind: PublicationKind
    token: str = ""
    files: Mapping[str, Path]  # "kernel", "ramdisk"; empty for NOTHING and LOCAL_DISK
    command_line: str = ""  # the kernel's, complete
    nfs_root: Path | None = None  # the directory that is its root by NFS
    nfs_source: str = ""  # SERVER:PATH of it, as a kernel mounts it


class BootPublisher(Protocol):
    """What nodes find when they boot from the network. Holds nothing durable: after a start the host
    publishes anew what its nodes' rows say."""

    async def publish(self, entry: BootEntry) -> None:
        """Replaces whatever was published for this node; returns when a node that boots now gets
        exactly this. Idempotent. NOTHING leaves the address reservation alone."""
        ...

    async def withdraw(self, node_id: str, *, root: bool = True) -> None:
        """The node is unknown from now on: no address, no file. Idempotent.

        root: nor its root by NFS; False: that is served on, a machine may live on it"""
        ...

    def roots(self) -> Mapping[str, str]:
        """Whose root by NFS is served from here: node → its folder's name."""
        ...
