"""Kernels gzipped for firmware that fetches slowly and unpacks fast: made once each, kept by content."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import shutil
from collections.abc import Collection
from pathlib import Path

import structlog

from provisioner.protocols.netboot import Offer

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
            offered = {file for files in self._offered.values() for file in files}
            try:
                return await asyncio.to_thread(self._found_or_made, kernel, offered)
            except OSError as error:
                log.warning("kernel.not_packed", kernel=str(kernel), error=error.strerror or str(error))
                return None

    def _found_or_made(self, kernel: Path, offered: Collection[Path]) -> Path | None:
        with kernel.open("rb") as file:
            if file.read(len(GZIP_MAGIC)) == GZIP_MAGIC:
                return None
        facts = kernel.stat()
        key = hashlib.sha256(f"{kernel} {facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()[:32]
        twin = self._folder / f"{key}.gz"
        if not twin.exists():
            self._make(kernel, twin)
            self._remove_old(offered)
        os.utime(twin)
        return twin

    def _make(self, kernel: Path, twin: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = twin.with_suffix(".new")
        try:
            with (
                kernel.open("rb") as source,
                partial.open("wb") as target,
                gzip.GzipFile("", "wb", LEVEL, target, mtime=0) as packed,
            ):
                shutil.copyfileobj(source, packed, COPIED_BYTES)
            partial.rename(twin)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def _remove_old(self, offered: Collection[Path]) -> None:
        twins = sorted(self._folder.glob("*.gz"), key=lambda path: path.stat().st_mtime_ns)
        for old in twins[:-KEPT]:
            if old not in offered:
                old.unlink(missing_ok=True)
