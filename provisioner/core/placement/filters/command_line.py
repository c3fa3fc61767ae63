"""What the image's kernel is to be told gets through the node's boot loader."""

from __future__ import annotations

from provisioner.core.command_line import unsafe_in
from provisioner.core.model import Image, ImageKind, Instance, Node


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    if image.kind is not ImageKind.ROOT:  # its own boot loader tells its kernel
        return None
    if unsafe := unsafe_in(image.command_line, node.boot_driver):
        words = f"{unsafe!r} of the command line of image {image.name}"
        return f"it boots by {node.boot_driver}, through which {words} doesn't get"
    return None
