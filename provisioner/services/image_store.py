"""Where images' bytes lie: one file per content, named by its sha256."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from provisioner.core.errors import ImageInvalid, InvalidInput, NotFound, StorageFull, TransientError
from provisioner.core.model import ImageKind
from provisioner.protocols.children import Children
from provisioner.protocols.image import StoredImage
from provisioner.services import kernel_head, qcow2
from provisioner.services.children import SystemChildren
from provisioner.services.draft import Draft, in_thread, remove_abandoned, to_its_end
from provisioner.services.image_locks import ImageLocks
from provisioner.services.image_source import open_source
from provisioner.services.qemu_img import QemuImg
from provisioner.services.sparse_digest import SparseDigest

PIECE_BYTES = 4 * 2**20  # what is gathered before it is hashed and written
RESERVE_BYTES = 64 * 2**20  # left free for the database, which shares the disk as a rule
FETCH_TIMEOUT_S = 4 * 3600.0
CONVERT_TIMEOUT_S = 3600.0
MAX_VIRTUAL_BYTES = 8 * 2**40

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PACKED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2"}
_SECTOR_BYTES = 512

_UNPACK = "Unpack it first"
_ANEW = "Get it anew, whole: compare its length and checksum with the publisher's"


class ImageStore:
    """Files below `root`: `blobs/<sha256>`, drafts, which are nobody's until they are whole, and what
    `ImageLocks` has there."""

    def __init__(
        self,
        root: Path,
        qemu_img: str = "qemu-img",
        *,
        children: Children | None = None,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        """Makes the folders, and removes the drafts of processes that died."""
        self._blobs = root / "blobs"
        self._drafts = root / "drafts"
        self._locks = ImageLocks(root)
        self._qemu_img = QemuImg(children or SystemChildren(), qemu_img)
        self._reserve_bytes = reserve_bytes
        for folder in (self._blobs, self._drafts):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        remove_abandoned(self._drafts)

    def path(self, sha256: str) -> Path:
        """The file with these bytes. Raises InvalidInput (not a sha256), NotFound."""
        path = self._blobs / _checked_sha256(sha256)
        if not path.exists():
            raise NotFound(
                f"read the image's bytes {sha256}",
                answer="they are not in the image store",
                advice="Register the image again",
            )
        return path

    def stored(self) -> list[str]:
        """The sha256 of everything there is, in order."""
        return sorted(path.name for path in self._blobs.iterdir() if _SHA256.fullmatch(path.name))

    def alone(self) -> AbstractAsyncContextManager[None]:
        """As `ImageLocks.alone`: entered while it is decided whether bytes are needed any longer."""
        return self._locks.alone()

    def receiving(self, image_id: str) -> AbstractAsyncContextManager[None]:
        """As `ImageLocks.receiving`: entered by whoever is to `save` or `fetch` this image."""
        return self._locks.receiving(image_id)

    async def delete(self, sha256: str) -> None:
        """Idempotent. Whoever is reading it reads on."""
        path = self._blobs / _checked_sha256(sha256)
        await in_thread(lambda: path.unlink(missing_ok=True))

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
        """Like `save`, from an http, https or file URL. `allows`, and what it raises: as `open_source`."""
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S), open_source(url, allows) as source:
                return await self.save(
                    source.chunks,
                    format=format,
                    kind=kind,
                    arch=arch,
                    expected_sha256=expected_sha256,
                    max_bytes=max_bytes,
                    size_bytes=source.size_bytes,
                    then=then,
                )
        except TimeoutError as error:
            raise TransientError(
                "fetch the image",
                answer=f"it was not here after {FETCH_TIMEOUT_S / 3600:.0f} hours",
                advice="Fetch it by other means, and register the file",
            ) from error

    async def save(
        self,
        chunks: AsyncIterator[bytes],
        *,
        format: str,
        kind: ImageKind,
        arch: str = "",
        expected_sha256: str | None,
        max_bytes: int,
        size_bytes: int | None = None,
        then: Callable[[StoredImage], Awaitable[None]] | None = None,
    ) -> StoredImage:
        """Stores what comes, once it is whole and proven; returns when it is on the disk.

        `format`: raw or qcow2; means nothing for kernels and ramdisks, which are kept as they are.
        `arch`: that it is said to be for; empty: any. Of a kernel it is looked whether that can be.
        `size_bytes`: how much will come, when that is known.
        `then`: awaited when they are in their place, and before anybody is `alone`: whoever looks for bytes
        that nothing names finds these either not at all, or named. It comes to its end though this is
        cancelled.
        Raises ImageInvalid (wrong checksum, cut off, not what it is said to be, not deployable),
        StorageFull, InvalidInput; whatever `chunks` raises. Nothing is left behind then. Raises whatever
        `then` does, which leaves them.
        """
        expected = None if expected_sha256 is None else _checked_sha256(expected_sha256.lower())
        if size_bytes is not None:
            _check_size(size_bytes, max_bytes)
            self._check_room(size_bytes)
        async with Draft(self._drafts) as draft:
            await self._receive(chunks, draft, max_bytes)
            if size_bytes is not None and draft.size_bytes != size_bytes:
                raise ImageInvalid(
                    "save the image",
                    answer=f"cut off after {draft.size_bytes} of {size_bytes} bytes",
                    advice=_ANEW,
                )
            if expected is not None and draft.sha256 != expected:
                raise ImageInvalid(
                    "save the image",
                    answer=f"its sha256 is {draft.sha256}, and {expected} was promised",
                    advice="The bytes are damaged or another version: compare with the publisher's checksum",
                )
            if kind is ImageKind.KERNEL and arch:
                _check_kernel(draft.head(kernel_head.HEAD_BYTES), arch)
            stored = await self._examine(draft, format, kind)
            await in_thread(draft.sync)
            async with self._locks.alone(wait_s=None):
                await in_thread(lambda: draft.keep_as(self._blobs / draft.sha256))
                if then is not None:
                    # What it asked of a database is done even if it is cancelled: nobody is alone before.
                    await to_its_end(then(stored))
        return stored

    async def _receive(self, chunks: AsyncIterator[bytes], draft: Draft, max_bytes: int) -> None:
        piece = bytearray()
        async for chunk in chunks:
            piece += chunk
            _check_size(draft.size_bytes + len(piece), max_bytes)
            if len(piece) >= PIECE_BYTES:
                await self._append(draft, piece)
                piece = bytearray()
        await self._append(draft, piece)

    async def _append(self, draft: Draft, piece: bytearray) -> None:
        self._check_room(len(piece))
        await in_thread(lambda: draft.append(piece))

    def _check_room(self, needed_bytes: int) -> None:
        disk = os.statvfs(self._drafts)
        free = max(0, disk.f_bavail * disk.f_frsize - self._reserve_bytes)
        if needed_bytes > free:
            raise StorageFull(
                "save the image",
                device=f"folder {self._drafts.parent}",
                answer=f"{needed_bytes} bytes more are needed, {free} are free",
                advice=f"Delete images, or make room there ({self._reserve_bytes} bytes stay free)",
            )

    async def _examine(self, draft: Draft, format: str, kind: ImageKind) -> StoredImage:
        """What is known of the bytes once they are found to be deployable."""
        if not draft.size_bytes:
            raise ImageInvalid("save the image", answer="it is empty", advice=_ANEW)
        virtual_size, tree = draft.size_bytes, draft.tree_digest
        if kind in (ImageKind.ROOT, ImageKind.DISK):
            head = draft.head(qcow2.HEAD_BYTES)
            if format == "qcow2":
                virtual_size, tree = await self._examine_qcow2(draft, head)
            elif format == "raw":
                _check_raw(head, draft.size_bytes)
            else:
                raise InvalidInput("save the image", field="format", answer=f"{format!r} is not raw or qcow2")
        return StoredImage(
            sha256=draft.sha256,
            size_bytes=draft.size_bytes,
            virtual_size_bytes=virtual_size,
            tree_digest=tree,
        )

    async def _examine_qcow2(self, draft: Draft, head: bytes) -> tuple[int, str]:
        """Its virtual size and the digest of its raw content. Before the header is found harmless,
        nothing else reads the file."""
        found = qcow2.read(head)
        packing = _packing(head)
        fault, advice = (packing, _UNPACK) if packing else (found.fault, found.advice)
        if not fault and found.virtual_size_bytes > MAX_VIRTUAL_BYTES:
            fault = f"its disk of {found.virtual_size_bytes} bytes is larger than {MAX_VIRTUAL_BYTES}"
        if fault:
            raise ImageInvalid("read the image as qcow2", answer=fault, advice=advice)
        virtual_size = await self._qemu_img.virtual_size_bytes(draft.path, "qcow2")
        end = await self._qemu_img.end_bytes(draft.path)
        # The last cluster may be short, when it is compressed.
        if draft.size_bytes <= end - found.cluster_bytes:
            raise ImageInvalid(
                "read the image as qcow2",
                answer=f"cut off after {draft.size_bytes} of about {end} bytes",
                advice=_ANEW,
            )
        self._check_room(await self._qemu_img.data_bytes(draft.path, "qcow2"))
        async with Draft(self._drafts) as raw:
            raw.resize(virtual_size)
            await self._qemu_img.to_raw(draft.path, "qcow2", raw.path, CONVERT_TIMEOUT_S)
            digest = SparseDigest(raw.path, virtual_size)
            while await in_thread(digest.advance):
                pass  # in turns, so that cancelling doesn't wait for the whole disk
            return virtual_size, digest.hexdigest()


def _check_kernel(head: bytes, arch: str) -> None:
    found = kernel_head.architecture_of(head)
    if found and found != arch:
        raise ImageInvalid(
            "save the image",
            answer=f"it is a kernel for {found}, and was registered for {arch}",
            advice=f"Register it for {found}, or send the one for {arch}",
        )


def _check_raw(head: bytes, size_bytes: int) -> None:
    if head[:4] == qcow2.MAGIC:
        fault, advice = "it is qcow2", "Register it by this format"
    elif packing := _packing(head):
        fault, advice = packing, _UNPACK
    elif size_bytes % _SECTOR_BYTES:
        fault = f"its {size_bytes} bytes are not whole sectors of {_SECTOR_BYTES}, so it was cut off"
        advice = _ANEW
    else:
        return
    raise ImageInvalid("read the image as raw", answer=fault, advice=advice)


def _packing(head: bytes) -> str:
    for magic, name in _PACKED.items():
        if head.startswith(magic):
            return f"it is compressed with {name}"
    return ""


def _check_size(size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise ImageInvalid(
            "save the image",
            answer=f"it is larger than {max_bytes} bytes",
            advice="Make it smaller: what is empty of a qcow2 takes no room",
        )


def _checked_sha256(text: str) -> str:
    if not _SHA256.fullmatch(text):
        raise InvalidInput(
            "name an image's bytes", field="sha256", answer=f"{text[:80]!r} is not 64 lower-case hex digits"
        )
    return text
