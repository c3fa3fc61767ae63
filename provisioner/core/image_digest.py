"""The digest of a disk image's raw content: SHA-256 over the concatenated SHA-512 digests of its chunks.

A tree of one level, so that the agent can read a disk back with all its CPUs at once; the same code
runs in the ramdisk (Python 3.9 or newer, standard library alone) and when an image is registered.

A digest names its algorithm, as `sha512-tree:3f2a…`: images outlive the code that registered them, and a
ramdisk may be older than the provisioner that boots it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

ALGORITHM = "sha512-tree"
"""To be renamed with whatever changes the digests, the size of the chunks included."""

CHUNK_BYTES = 4 * 2**20
SHOWN_CHARACTERS = 16

if TYPE_CHECKING:
    Buffer = bytes | bytearray | memoryview


@functools.lru_cache(maxsize=4)
def _zeros_and_digest(count: int) -> tuple[bytearray, bytes]:
    """Made once: they take longer than a small image. Only ever read."""
    zeros = bytearray(count)
    return zeros, hashlib.sha512(zeros).digest()


class ChunkHasher:
    """Digests of single chunks. Safe to use from several threads."""

    def __init__(self, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.chunk_bytes = chunk_bytes
        self._zeros, self._zeros_digest = _zeros_and_digest(chunk_bytes)

    def digest(self, chunk: Buffer) -> bytes:
        """The SHA-512 of one chunk; of an all-zero one (the most of a sparse image) without hashing it.

        bytearray compares with any buffer by memcmp, without a copy, and stops at the first
        difference.
        """
        if self._zeros == chunk:
            return self._zeros_digest
        return hashlib.sha512(chunk).digest()


def tree_digest(chunk_digests: Iterable[bytes]) -> str:
    """The image's digest, algorithm and hex, from those of its chunks in order."""
    tree = hashlib.sha256()
    for digest in chunk_digests:
        tree.update(digest)
    return f"{ALGORITHM}:{tree.hexdigest()}"


def algorithm_of(digest: str) -> str:
    return digest.rpartition(":")[0]


def shown(digest: str) -> str:
    """For people: enough to tell two apart."""
    return f"{digest.rpartition(':')[2][:SHOWN_CHARACTERS]}…"


class TreeDigest:
    """The same for content that comes as a stream, in pieces of any size."""

    def __init__(self, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._hasher = ChunkHasher(chunk_bytes)
        self._digests: list[bytes] = []
        self._rest = bytearray()

    def update(self, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        size = self._hasher.chunk_bytes
        if self._rest:
            missing = size - len(self._rest)
            self._rest += view[:missing]
            view = view[missing:]
            if len(self._rest) < size:
                return
            self._digests.append(self._hasher.digest(self._rest))
            self._rest = bytearray()
        whole = len(view) - len(view) % size
        for start in range(0, whole, size):
            self._digests.append(self._hasher.digest(view[start : start + size]))
        self._rest += view[whole:]

    def hexdigest(self) -> str:
        """The digest of what came so far, as `tree_digest` writes it."""
        last = [self._hasher.digest(self._rest)] if self._rest else []
        return tree_digest([*self._digests, *last])


def zeros_tree_digest(size_bytes: int, chunk_bytes: int = CHUNK_BYTES) -> str:
    """The digest of that many zero bytes."""
    whole, rest = divmod(size_bytes, chunk_bytes)
    zeros = bytes(chunk_bytes)
    digests = [hashlib.sha512(zeros).digest()] * whole
    return tree_digest([*digests, hashlib.sha512(zeros[:rest]).digest()] if rest else digests)
