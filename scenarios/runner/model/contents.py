"""What images hold, as far as a model knows it: a name, sizes, and what its system does when it runs."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmsim.devices.elf import TILEPRO
from provisioner.core.errors import ImageInvalid, NotFound, TransientError
from provisioner.core.model import ImageKind
from provisioner.protocols.image import StoredImage
from scenarios.runner.model.image_locks import ModelImageLocks

MIB = 2**20

BLOBS = Path("/blobs")
"""Where blobs seem to lie. Nothing ever opens these paths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The bytes of one image.

    kernel, ramdisk: names of the images that boot a root file system.
    arch:            of the machines that it is for.
    ssh:             its system answers on port 22.
    phones_home:     its system reads the config drive and calls.
    """

    name: str
    kind: ImageKind
    size_bytes: int
    virtual_size_bytes: int
    kernel: str = ""
    ramdisk: str = ""
    arch: str = "x86_64"
    ssh: bool = True
    phones_home: bool = True

    @property
    def sha256(self) -> str:
        return hashlib.sha256(f"bytes of {self.name}".encode()).hexdigest()

    @property
    def tree_digest(self) -> str:
        return digest_of_range([(self.name, 0, self.virtual_size_bytes)])


def digest_of_range(extents: Iterable[tuple[str, int, int]]) -> str:
    """Of what a disk reads back as: (content, offset in it, length) in order. Equal for equal bytes."""
    text = ";".join(f"{name}+{offset}:{length}" for name, offset, length in extents)
    return hashlib.sha256(text.encode()).hexdigest()


def elf_head(arch: str) -> bytes:
    """The first bytes of a program: as much as a loader looks at. Empty: nobody looks at this one's."""
    if arch != "tilepro64":
        return b""
    # 32 bits, little-endian; e_type: an executable. Source: ELF specification 1.2
    identity = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    return identity + struct.pack("<HH", 2, TILEPRO)


def _root(name: str, mib: int, virtual_mib: int, arch: str = "x86_64") -> tuple[Content, ...]:
    kernel, ramdisk = (
        Content(
            name=f"{name}-{kind}",
            kind=kind,
            size_bytes=size_mib * MIB,
            virtual_size_bytes=size_mib * MIB,
            arch=arch,
        )
        for kind, size_mib in ((ImageKind.KERNEL, 8), (ImageKind.RAMDISK, 20))
    )
    root = Content(
        name=name,
        kind=ImageKind.ROOT,
        size_bytes=mib * MIB,
        virtual_size_bytes=virtual_mib * MIB,
        kernel=kernel.name,
        ramdisk=ramdisk.name,
        arch=arch,
    )
    return kernel, ramdisk, root


def _tile_root(name: str, mib: int) -> tuple[Content, ...]:
    """Its kernel takes no ramdisk; its system, older than cloud-init, phones nobody."""

    def part(name: str, kind: ImageKind, size_mib: int, kernel: str = "") -> Content:
        return Content(
            name=name,
            kind=kind,
            size_bytes=size_mib * MIB,
            virtual_size_bytes=size_mib * MIB,
            kernel=kernel,
            arch="tilepro64",
            phones_home=False,
        )

    kernel = part(f"{name}-kernel", ImageKind.KERNEL, 1)
    return kernel, part(name, ImageKind.ROOT, mib, kernel.name)


LIBRARY: Mapping[str, Content] = {
    content.name: content
    for content in (
        *_root("tiny", 24, 64),
        *_root("debian", 300, 1024),
        *_root("tiny-arm64", 24, 64, "arm64"),
        *_root("tiny-armhf", 24, 64, "armhf"),
        *_tile_root("tiny-tilepro64", 8),
        Content(name="tiny-disk", kind=ImageKind.DISK, size_bytes=40 * MIB, virtual_size_bytes=128 * MIB),
        Content(
            name="tiny-disk-arm64",
            kind=ImageKind.DISK,
            size_bytes=16 * MIB,
            virtual_size_bytes=66 * MIB,
            arch="arm64",
        ),
        Content(name="debian-disk", kind=ImageKind.DISK, size_bytes=350 * MIB, virtual_size_bytes=2048 * MIB),
    )
}
"""Images that scenarios name, sized as their recipes in fixtures/images build them."""


def orders(name: str) -> list[dict[str, Any]]:
    """Bodies of POST /v1/images that bring an image, and before it what boots it."""
    content = LIBRARY[name]
    named = {"kernel_id": content.kernel, "ramdisk_id": content.ramdisk}
    boot = {field: part for field, part in named.items() if part}
    return [*(_order(LIBRARY[part]) for part in boot.values()), _order(content) | boot]


def _order(content: Content) -> dict[str, Any]:
    return {
        "arch": content.arch,
        "name": content.name,
        "kind": str(content.kind),
        "sha256": content.sha256,
        "url": f"http://images.test/{content.name}",
    }


class ImageServer:
    """`provisioner.api.context.ImageSaver`: fetches what LIBRARY holds from an image server that may be
    broken (image.corrupt, image.truncated, image.unreachable). struck(fault, image): told of each time that
    it was."""

    def __init__(self, struck: Callable[[str, str], None]) -> None:
        self._struck = struck
        self._locks = ModelImageLocks()
        self.broken: dict[str, tuple[str, Mapping[str, Any]]] = {}  # image → fault, parameters
        self._by_sha256 = {content.sha256: content for content in LIBRARY.values()}

    async def fetch(
        self,
        url: str,
        *,
        format: str,
        kind: ImageKind,
        arch: str = "",
        expected_sha256: str | None,
        max_bytes: int,
        allows: Callable[[str], bool] | None = None,
        then: Callable[[StoredImage], Awaitable[None]] | None = None,
    ) -> StoredImage:
        """allows: for addresses, of which a model has none."""
        name = url.rpartition("/")[2]
        content = LIBRARY[name]
        self._spoil(url, name, content.size_bytes, expected_sha256)
        stored = StoredImage(
            sha256=content.sha256,
            size_bytes=content.size_bytes,
            virtual_size_bytes=content.virtual_size_bytes,
            tree_digest=content.tree_digest,
        )
        if then is not None:
            async with self._locks.alone(wait_s=None):
                await then(stored)
        return stored

    def _spoil(self, url: str, name: str, size_bytes: int, expected_sha256: str | None) -> None:
        """Raises what `ImageStore.fetch` does, for a client who gave the checksum."""
        fault, given = self.broken.get(name, ("", {}))
        if not fault or (fault == "image.truncated" and given["after_bytes"] >= size_bytes):
            return
        self._struck(fault, name)
        match fault:
            case "image.unreachable":
                raise TransientError(
                    f"fetch the image {url}",
                    answer="Server disconnected without sending a response.",
                    advice="Is the server reachable from here?",
                )
            case "image.truncated":
                raise TransientError(
                    f"fetch the image {url}",
                    answer=f"cut off after {given['after_bytes']} of {size_bytes} bytes",
                    advice="Is the server reachable from here?",
                )
            case _:
                raise ImageInvalid(
                    "save the image",
                    answer=f"its sha256 is {'0' * 64}, and {expected_sha256} was promised",
                    advice="The bytes are damaged or another version: compare with the publisher's checksum",
                )

    async def save(
        self,
        chunks: Any,
        *,
        format: str,
        kind: ImageKind,
        arch: str = "",
        expected_sha256: str | None,
        max_bytes: int,
        size_bytes: int | None = None,
        then: Callable[[StoredImage], Awaitable[None]] | None = None,
    ) -> StoredImage:
        raise NotFound("store an image's bytes", answer="images of the model come by URL")

    def alone(self) -> AbstractAsyncContextManager[None]:
        return self._locks.alone()

    def receiving(self, image_id: str) -> AbstractAsyncContextManager[None]:
        return self._locks.receiving(image_id)

    async def delete(self, sha256: str) -> None:
        """Its bytes are needed no longer."""

    def path(self, sha256: str) -> Path:
        return BLOBS / sha256

    def content_at(self, path: Path) -> Content | None:
        """What a path of `path` stands for."""
        return self._by_sha256.get(path.name)
