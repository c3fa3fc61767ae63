"""Kernels gzipped for firmware that fetches slowly and unpacks fast: made once each, kept by content."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from collections.abc import Collection
from pathlib import Path

import structlog

from provisioner.core.errors import StorageFull
from provisioner.protocols.netboot import Offer
from provisioner.services.draft import Draft, in_thread, remove_abandoned

log = structlog.get_logger(__name__)

KEPT = 8
"""Those used last, beside those offered now: a rack has a kernel or two for each image that is deployed."""

LEVEL = 6
GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952 §2.3.1
COPIED_BYTES = 2**20


class PackedKernels:
    """The twins of kernels, below one folder of this process. A `protocols.netboot.NetbootService` so as to
    hear which of them are offered: they stay as long."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._drafts = folder / "drafts"
        self._one_at_a_time = asyncio.Lock()
        self._offered: dict[str, list[Path]] = {}  # by node

    async def offer(self, offer: Offer) -> None:
        files = (file for file in offer.tftp_files.values() if isinstance(file, Path))
        self._offered[offer.node_id] = [file for file in files if file.parent == self._folder]

    async def withdraw(self, node_id: str) -> None:
        self._offered.pop(node_id, None)

    async def twin(self, kernel: Path) -> Path | None:
        """The gzipped twin. None: it is gzipped itself, or there is no room: it is given as it is."""
        async with self._one_at_a_time:
            try:
                twin = await in_thread(lambda: self._name(kernel))
                if twin is not None:
                    if not twin.exists():
                        await self._make(kernel, twin)
                        offered = {file for files in self._offered.values() for file in files}
                        await in_thread(lambda: self._remove_old(offered))
                    os.utime(twin)
                return twin
            except (OSError, StorageFull) as error:
                cause = error.strerror if isinstance(error, OSError) else error.message
                log.warning("kernel.not_packed", kernel=str(kernel), error=cause or str(error))
                return None

    def _name(self, kernel: Path) -> Path | None:
        with kernel.open("rb") as file:
            if file.read(len(GZIP_MAGIC)) == GZIP_MAGIC:
                return None
        facts = kernel.stat()
        key = hashlib.sha256(f"{kernel} {facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()[:32]
        return self._folder / f"{key}.gz"

    async def _make(self, kernel: Path, twin: Path) -> None:
        self._drafts.mkdir(parents=True, exist_ok=True)
        remove_abandoned(self._drafts)
        async with Draft(self._drafts) as draft:
            with (
                kernel.open("rb") as source,
                draft.path.open("wb") as target,
                gzip.GzipFile("", "wb", LEVEL, target, mtime=0) as packed,
            ):
                while await in_thread(lambda: packed.write(source.read(COPIED_BYTES))):
                    pass  # in turns, so that cancelling doesn't wait for the whole kernel
            await in_thread(lambda: draft.keep_as(twin))

    def _remove_old(self, offered: Collection[Path]) -> None:
        twins = sorted(self._folder.glob("*.gz"), key=lambda path: path.stat().st_mtime_ns)
        for old in twins[:-KEPT]:
            if old not in offered:
                old.unlink(missing_ok=True)
