"""Bytes of images, and a store that is given them."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

from provisioner.core.model import ImageKind
from provisioner.protocols.image import StoredImage
from provisioner.services.image_store import ImageStore

MIB = 2**20


@cache
def disk(size_mib: int = 24) -> bytes:
    """Raw content with data, holes and a part that is not a whole chunk."""
    noise = random.Random(size_mib)
    content = bytearray(size_mib * MIB + 512)
    for start in (0, 5 * MIB, (size_mib - 1) * MIB):
        content[start : start + 300_000] = noise.randbytes(300_000)
    content[-7:] = b"the end"
    return bytes(content)


def qcow2(folder: Path, raw: bytes, *options: str) -> bytes:
    (folder / "source.raw").write_bytes(raw)
    command = ["qemu-img", "convert", "-q", "-O", "qcow2", *options, "source.raw", "made.qcow2"]
    subprocess.run(command, check=True, cwd=folder)
    return (folder / "made.qcow2").read_bytes()


async def pieces(content: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]
        await asyncio.sleep(0)


async def save(store: ImageStore, content: bytes, **options: Any) -> StoredImage:
    given: dict[str, Any] = {"format": "raw", "kind": ImageKind.DISK, "expected_sha256": None}
    return await store.save(pieces(content), **{**given, "max_bytes": 100 * MIB, **options})


def files(store_root: Path) -> list[Path]:
    """All but what is there to be locked."""
    found = [path for path in store_root.rglob("*") if path.is_file()]
    return [path for path in found if path.name != "lock" and path.parent.name != "receiving"]
