"""A root by NFS is a file system, and has no disk for swap."""

from __future__ import annotations

from provisioner.core.model import Image, ImageKind, Instance, Node


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    if node.deploy_driver != "nfs":
        return None
    if image.kind is not ImageKind.ROOT:
        return f"its root is served by NFS, and image {image.name} is a whole disk"
    if instance.flavor.swap_mib:
        return f"its root is served by NFS, and flavor {instance.flavor.name} asks for swap on a disk"
    return None
