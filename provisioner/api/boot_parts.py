"""The kernel and the ramdisk that an instance boots with: those that are named for it, or its image's."""

from __future__ import annotations

from provisioner.core.errors import InvalidInput
from provisioner.core.model import Image, ImageKind, boots_with_ramdisk
from provisioner.protocols.store import Tx


class BootsByItself(InvalidInput):
    """A whole disk has its kernel and its ramdisk on it."""


def boot_part(tx: Tx, image: Image, kind: ImageKind, named: Image | None = None) -> Image | None:
    """None: it boots without. Raises InvalidInput when `named` can't be what the image is booted with."""
    if named is None:
        # What it boots with is of the image, also where that is shared and these are not.
        own = image.kernel_id if kind is ImageKind.KERNEL else image.ramdisk_id
        return tx.get(Image, own) if own else None
    tried = f"boot image {image.name} with {kind} {named.name}"
    if image.kind is ImageKind.DISK:
        raise BootsByItself(tried, field=kind, answer="a whole disk boots by itself")
    if kind is ImageKind.RAMDISK and not boots_with_ramdisk(image.arch):
        raise InvalidInput(tried, field=kind, answer=f"{image.arch} boots its kernel without a ramdisk")
    if named.kind is not kind:
        raise InvalidInput(tried, field=kind, answer=f"it is of kind {named.kind}")
    if named.arch != image.arch:
        raise InvalidInput(
            tried, field=kind, answer=f"it is for {named.arch}, and the image for {image.arch}"
        )
    return named
