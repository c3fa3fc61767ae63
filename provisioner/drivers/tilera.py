"""Network boot of Tilera boards: the address and the root by DHCP, the kernel as `<node id>/kernel` by TFTP.

A board that has its kernel in CompactFlash asks for its address and its root alone. Either way the kernel's
command line is the board's: nobody can hand it another.
"""

from __future__ import annotations

from provisioner.core.model import PublicationKind
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.netboot import Loader, Offer

ROOT_OPTIONS = "vers=4,proto=tcp"
"""Behind the root's path: where DHCP doesn't say it, Linux asks for NFS 2, and by UDP where it is that old.
Source: Documentation/admin-guide/nfs/nfsroot.rst; fs/nfs/nfsroot.c, NFS_DEF_OPTIONS"""


def make_offer(entry: BootEntry) -> Offer:
    """What the services give, for what is published: an instance, or nothing."""
    kernel = f"{entry.node_id}/kernel"
    boots = entry.kind is PublicationKind.INSTANCE
    return Offer(
        node_id=entry.node_id,
        node_name=entry.node_name,
        macs=entry.macs,
        addresses=entry.addresses,
        token=entry.token,
        # By the MAC address alone: what such firmware says of itself by DHCP was never written down.
        boot_files={Loader.ANY: kernel} if boots else {},
        tftp_files={kernel: entry.files["kernel"]} if boots else {},
        nfs_root=entry.nfs_root,
        root_path=f"{entry.nfs_source},{ROOT_OPTIONS}" if entry.nfs_source else "",
    )
