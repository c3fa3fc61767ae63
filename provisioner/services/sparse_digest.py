"""The tree digest of a raw image in a file, without reading its holes."""

from __future__ import annotations

import os
from errno import ENXIO
from pathlib import Path

from provisioner.core.image_digest import CHUNK_BYTES, ChunkHasher, tree_digest

CHUNKS_PER_TURN = 16


class SparseDigest:
    """Works in turns: `advance` until it says that nothing is left, then `hexdigest`."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self._hasher = ChunkHasher()
        self._digests: list[bytes] = []
        self._zeros_digest = self._hasher.digest(bytes(CHUNK_BYTES))

    def advance(self) -> bool:
        """Hashes the next chunks that hold data; False when all are hashed."""
        with self._path.open("rb", buffering=0) as file:
            for _ in range(CHUNKS_PER_TURN):
                self._skip_hole(file.fileno())
                offset = len(self._digests) * CHUNK_BYTES
                if offset >= self._size_bytes:
                    return False
                chunk = os.pread(file.fileno(), CHUNK_BYTES, offset)
                self._digests.append(self._hasher.digest(chunk))
        return True

    def _skip_hole(self, descriptor: int) -> None:
        """Only chunks that are holes from end to end, so the short last one is always read."""
        offset = len(self._digests) * CHUNK_BYTES
        try:
            data = os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != ENXIO:  # no data after the offset
                raise
            data = self._size_bytes
        self._digests += [self._zeros_digest] * ((data - offset) // CHUNK_BYTES)

    def hexdigest(self) -> str:
        return tree_digest(self._digests)
