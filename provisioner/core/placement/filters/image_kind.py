"""A root by NFS is a file system, and has no disk for swap or ephemeral storage."""

from __future__ import annotations

from provisioner.core.model import Image, ImageKind, Instance, Node


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    if node.deploy_driver != "nfs":
        return None
    if image.kind is not ImageKind.ROOT:
        return f"its root is served by NFS, and image {image.name} is a whole disk"
    flavor = instance.flavor
    wanted = "swap" if flavor.swap_mib else "ephemeral storage" if flavor.ephemeral_mib else ""
    if wanted:
        return f"its root is served by NFS, and flavor {flavor.name} asks for {wanted} on a disk"
    return None
