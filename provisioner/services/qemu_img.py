"""qemu-img on files that nobody vouches for: bounded in memory, time and output."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from provisioner.core.errors import (
    ImageInvalid,
    PermanentError,
    ProvisionerError,
    StorageFull,
    TransientError,
)
from provisioner.protocols.children import Children, ChildResult, ChildTimedOut
from provisioner.services.full_disk import said_full

# Of address space: its threads reserve a gigabyte that they never touch; a crafted image asks for far more.
MEMORY_BYTES = 4 * 2**30
CPU_S = 30  # for looking; a conversion may take as long as the disk needs
LOOK_TIMEOUT_S = 60.0
OUTPUT_BYTES = 64 * 2**20  # a map has a line per extent, and an image may be fragmented

# Of what an image makes qemu-img do. Whatever else ends it comes from elsewhere.
_IMAGES_OWN = {
    -number
    for number in (
        signal.SIGABRT,  # out of the memory that it may have
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGSEGV,
        signal.SIGSYS,
        signal.SIGTRAP,
        signal.SIGXCPU,
    )
}

_NOT_FOUND = 127  # exit code of prlimit when there is no such program


class QemuImg:
    """Every call names the format: a guess could be led to another driver."""

    def __init__(self, children: Children, program: str = "qemu-img") -> None:
        self._children = children
        self._program = program

    async def virtual_size_bytes(self, source: Path, format: str) -> int:
        """Raises ImageInvalid when qemu-img can't read it."""
        return int((await self._look("info", "-f", format, str(source)))["virtual-size"])

    async def end_bytes(self, source: Path) -> int:
        """Where a qcow2's used clusters end in its file. Raises ImageInvalid when it is inconsistent."""
        return int((await self._look("check", "-f", "qcow2", str(source)))["image-end-offset"])

    async def data_bytes(self, source: Path, format: str) -> int:
        """How much of the virtual disk holds data, so what a sparse raw copy takes."""
        extents = await self._look("map", "-f", format, str(source))
        return sum(int(extent["length"]) for extent in extents if extent["data"])

    async def to_raw(self, source: Path, format: str, target: Path, timeout_s: float) -> None:
        """Fills `target`, which exists, is empty and as large as the virtual disk; leaves holes in it."""
        options = ("-n", "--target-is-zero", "-S", "4k", "-f", format, "-O", "raw")
        await self._run([], "convert", *options, str(source), str(target), timeout_s=timeout_s)

    async def _look(self, verb: str, *arguments: str) -> Any:
        # The hard limit ends it by SIGKILL, as others may: the soft one, by SIGXCPU, comes before.
        limit = [f"--cpu={CPU_S}:{CPU_S + 1}"]
        output = await self._run(limit, verb, "--output=json", *arguments, timeout_s=LOOK_TIMEOUT_S)
        try:
            return json.loads(output)
        except ValueError as error:
            raise PermanentError(
                f"{self._program} {verb}", answer=f"its answer is not JSON: {bytes(output[:200])!r}"
            ) from error

    async def _run(self, limits: list[str], verb: str, *arguments: str, timeout_s: float) -> bytearray:
        output = bytearray()
        try:
            result = await self._children.run(
                [
                    "prlimit",
                    f"--as={MEMORY_BYTES}",
                    "--core=0",
                    *limits,
                    self._program,
                    verb,
                    *arguments,
                ],
                timeout_s=timeout_s,
                on_stdout=lambda data: output.extend(data[: OUTPUT_BYTES - len(output)]),
            )
        except ChildTimedOut as error:
            # The disk's doing: what a look at a crafted image takes is ended by CPU_S before. What takes half
            # an hour isn't tried a dozen times.
            kind = PermanentError if verb == "convert" else TransientError
            raise kind(
                f"{self._program} {verb}",
                answer=f"it was not done with the image after {timeout_s:.0f} s",
                advice="Look at the disk that it lies on: whether it fails, and what else keeps it busy",
            ) from error
        if result.code not in _IMAGES_OWN:
            result.check_not_killed(f"{self._program} {verb}")
        if result.code:
            raise self._fault(f"{self._program} {verb}", result)
        return output

    def _fault(self, tried: str, result: ChildResult) -> ProvisionerError:
        if result.code == _NOT_FOUND:
            return PermanentError(tried, answer=result.last_words(), advice="Install qemu-utils")
        if full := said_full(result.stderr):
            return StorageFull(tried, answer=full, advice="Delete images, or make room")
        return ImageInvalid(
            tried, answer=result.last_words(), advice="Look at it with qemu-img check, or get it anew"
        )
