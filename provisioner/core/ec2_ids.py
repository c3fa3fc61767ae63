"""Ids as EC2 clients know them, made from ours and found again without being stored.

`i-` and 17 hexadecimal digits: the first ones of the UUID, 64 of whose 68 bits are random.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from provisioner.core.model import Image, ImageKind

DIGITS = 17

IMAGE_PREFIX: Mapping[ImageKind, str] = {
    ImageKind.ROOT: "ami",
    ImageKind.DISK: "ami",
    ImageKind.KERNEL: "aki",
    ImageKind.RAMDISK: "ari",
}


def public_id(prefix: str, uuid: str) -> str:
    return f"{prefix}-{uuid.replace('-', '')[:DIGITS]}"


def instance_id(uuid: str) -> str:
    return public_id("i", uuid)


def image_id(image: Image) -> str:
    return public_id(IMAGE_PREFIX[image.kind], image.id)


def kernel_id(uuid: str) -> str:
    return public_id("aki", uuid)


def ramdisk_id(uuid: str) -> str:
    return public_id("ari", uuid)


def key_pair_id(uuid: str) -> str:
    return public_id("key", uuid)


def account_of(tenant: str) -> str:
    """Twelve digits, as EC2 names tenants."""
    digest = hashlib.sha256(tenant.encode()).digest()
    return f"{int.from_bytes(digest[:8]) % 10**12:012d}"
