"""What an instance takes of a node's disk."""

from __future__ import annotations

from provisioner.core.model import Flavor, Image

CONFIG_DRIVE_MIB = 8
ALIGNMENT_MIB = 2  # partition tables at both ends of the disk


def behind_root_mib(flavor: Flavor) -> int:
    """Ephemeral storage, swap, config drive and partition tables."""
    return flavor.ephemeral_mib + flavor.swap_mib + CONFIG_DRIVE_MIB + ALIGNMENT_MIB


def disk_needed_mib(flavor: Flavor, image: Image, deploy_driver: str) -> int:
    """What an instance takes on the node's disk, at least. A root by NFS takes nothing: the node needs no
    disk."""
    if deploy_driver == "nfs":
        return 0
    image_mib = -(-image.virtual_size_bytes // 2**20)
    return max(image_mib, flavor.disk_mib) + behind_root_mib(flavor)
