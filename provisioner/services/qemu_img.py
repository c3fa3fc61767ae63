"""qemu-img on files that nobody vouches for: bounded in memory, time and output, never outliving us."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from provisioner.core.errors import ImageInvalid, PermanentError, StorageFull

MEMORY_BYTES = 2**30  # address space; a crafted image makes qemu-img ask for far more
CPU_S = 30  # for looking; a conversion may take as long as it needs disk
LOOK_TIMEOUT_S = 60.0
OUTPUT_BYTES = 64 * 2**20  # a map of a fragmented image has a line per extent
KILL_S = 5.0  # how long a killed process may take to go


class QemuImg:
    """Every call names the format: a guess could be led to another driver."""

    def __init__(self, program: str = "qemu-img") -> None:
        self._program = program

    async def virtual_size_bytes(self, source: Path, format: str) -> int:
        """Raises ImageInvalid when qemu-img can't read it."""
        info = await self._json("info", "-f", format, source, look=True)
        return int(info["virtual-size"])

    async def end_bytes(self, source: Path) -> int:
        """Where a qcow2's used clusters end in its file. Raises ImageInvalid when it is inconsistent."""
        report = await self._json("check", "-f", "qcow2", source, look=True)
        return int(report["image-end-offset"])

    async def data_bytes(self, source: Path, format: str) -> int:
        """How much of the virtual disk holds data, so what a sparse raw copy takes."""
        extents = await self._json("map", "-f", format, source, look=True)
        return sum(int(extent["length"]) for extent in extents if extent["data"])

    async def to_raw(self, source: Path, format: str, target: Path, timeout_s: float) -> None:
        """Fills `target`, which exists, is empty and as large as the virtual disk; leaves holes in it."""
        arguments = ("-n", "--target-is-zero", "-S", "4k", "-f", format, "-O", "raw", source, target)
        await self._run("convert", *arguments, look=False, timeout_s=timeout_s)

    async def _json(self, *arguments: str | Path, look: bool) -> Any:
        verb, *rest = arguments
        output = await self._run(str(verb), "--output=json", *rest, look=look, timeout_s=LOOK_TIMEOUT_S)
        try:
            return json.loads(output)
        except ValueError as error:
            raise PermanentError(
                f"{self._program} {verb}", answer=f"its answer is not JSON: {output[:200]!r}"
            ) from error

    async def _run(self, verb: str, *arguments: str | Path, look: bool, timeout_s: float) -> bytes:
        limits = [f"--as={MEMORY_BYTES}", "--core=0", *([f"--cpu={CPU_S}"] if look else [])]
        # setpriv, so that it dies with us even if we are killed; prlimit, so that no code of ours
        # runs between fork and exec.
        command = ["setpriv", "--pdeathsig=KILL", "prlimit", *limits, self._program, verb]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                *map(str, arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            )
        except OSError as error:
            raise PermanentError(
                f"run {command[0]}", answer=error.strerror or str(error), advice="Install util-linux"
            ) from error
        try:
            async with asyncio.timeout(timeout_s):
                output, complaint = await _outputs(process)
                status = await process.wait()
        except TimeoutError as error:
            raise ImageInvalid(
                f"{self._program} {verb}", answer=f"it was not done with the image after {timeout_s:.0f} s"
            ) from error
        finally:
            await _end(process)
        if status:
            raise self._fault(verb, status, complaint.decode(errors="replace").strip())
        return output

    def _fault(self, verb: str, status: int, complaint: str) -> Exception:
        tried = f"{self._program} {verb}"
        if status == 127:
            return PermanentError(f"run {self._program}", answer=complaint, advice="Install qemu-utils")
        if "No space left on device" in complaint:
            return StorageFull(tried, answer="no space left on device")
        ended = f"signal {-status}" if status < 0 else f"status {status}"
        return ImageInvalid(tried, answer=f"{complaint[-500:] or 'no message'} ({ended})")


async def _outputs(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    assert process.stdout is not None and process.stderr is not None
    async with asyncio.TaskGroup() as group:
        output = group.create_task(_bounded(process.stdout))
        complaint = group.create_task(_bounded(process.stderr))
    return output.result(), complaint.result()


async def _bounded(stream: asyncio.StreamReader) -> bytes:
    kept = bytearray()
    while piece := await stream.read(65_536):
        kept += piece[: OUTPUT_BYTES - len(kept)]
    return bytes(kept)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        async with asyncio.timeout(KILL_S):
            await process.wait()
