"""checksum_disk: reads a disk back from the medium, with all CPUs and the disk busy all the time."""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections.abc import Callable
from typing import Any

from provisioner.agent import block
from provisioner.agent.board import Run
from provisioner.agent.errors import CommandError
from provisioner.agent.job import Job
from provisioner.agent.params import Params
from provisioner.core.image_digest import CHUNK_BYTES, ChunkHasher, tree_digest

THREADS_PER_CPU = 2  # one hashes while the other waits for the disk
MAX_THREADS = 32
MAX_CHUNK_BYTES = 64 * 2**20
ALIGNMENT_BYTES = 4096  # of direct reads, for disks with sectors of 512 bytes or 4 KiB


def checksum_command(params: Params) -> Run:
    device = params.device("device")
    offset = params.integer("offset_bytes", 0, 2**62, default=0)
    size = params.integer("size_bytes", 0, 2**62)
    chunk = params.integer("chunk_bytes", ALIGNMENT_BYTES, MAX_CHUNK_BYTES, default=CHUNK_BYTES)

    def run(job: Job) -> dict[str, Any]:
        def report(read_bytes: int) -> None:
            job.progress(read_bytes, size)

        return {"tree_digest": tree_digest_of(device, offset, size, chunk, job, report)}

    return run


def tree_digest_of(
    device: str, offset: int, size: int, chunk: int, job: Job, report: Callable[[int], None]
) -> str:
    """report: is told how many bytes were read so far.

    Raises CommandError `disk-too-small`, `disk-error` (unreadable).
    """
    if offset % ALIGNMENT_BYTES or chunk % ALIGNMENT_BYTES:
        raise CommandError("misaligned", f"offset and chunk must be multiples of {ALIGNMENT_BYTES} bytes")
    with block.opened(device, os.O_RDONLY | os.O_DIRECT) as fd:
        there = block.size_bytes(fd)
        if offset + size > there:
            raise CommandError(
                "disk-too-small", f"{device} has {there} bytes, {offset + size} were to be checked"
            )
        os.fsync(fd)
        fcntl.ioctl(fd, block.BLKFLSBUF)
        return _Reader(fd, offset, size, chunk, job, report).tree_digest()


class _Reader:
    """Threads take chunk after chunk; reading and hashing both run outside the interpreter's lock."""

    def __init__(
        self, fd: int, offset: int, size: int, chunk: int, job: Job, report: Callable[[int], None]
    ) -> None:
        self._fd, self._offset, self._size, self._chunk = fd, offset, size, chunk
        self._job, self._report = job, report
        self._hasher = ChunkHasher(chunk)
        self._digests = [b""] * -(-size // chunk)
        self._next = 0
        self._done_bytes = 0
        self._lock = threading.Lock()
        self._error: OSError | None = None

    def tree_digest(self) -> str:
        count = min((os.cpu_count() or 1) * THREADS_PER_CPU, MAX_THREADS)
        threads = [threading.Thread(target=self._read) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._job.check()
        if self._error is not None:
            raise self._error
        return tree_digest(self._digests)

    def _read(self) -> None:
        with mmap.mmap(-1, self._chunk) as memory, memoryview(memory) as buffer:  # direct reads need pages
            while (index := self._take()) is not None:
                length = min(self._chunk, self._size - index * self._chunk)
                try:
                    self._fill(buffer, self._offset + index * self._chunk, length)
                except OSError as error:
                    self._error = error
                    return
                with buffer[:length] as content:
                    self._digests[index] = self._hasher.digest(content)
                with self._lock:
                    self._done_bytes += length
                    self._report(self._done_bytes)

    def _take(self) -> int | None:
        with self._lock:
            if self._next >= len(self._digests) or self._error is not None or self._job.cancelled:
                return None
            self._next += 1
            return self._next - 1

    def _fill(self, buffer: memoryview, position: int, length: int) -> None:
        """Reads whole blocks: the image's last bytes need not fill theirs."""
        needed = -(-length // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        filled = 0
        while filled < length:
            with buffer[filled:needed] as rest:
                count = os.preadv(self._fd, [rest], position + filled)
            if count == 0:
                raise OSError(5, f"nothing could be read at byte {position + filled}")
            filled += count
