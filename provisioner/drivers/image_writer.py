"""Writes an image to a disk that an agent exports: qemu-img through libiscsi, all of it in user space."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

from provisioner.core.errors import PermanentError, ProvisionerError, TransientError, WriteFailed
from provisioner.protocols.children import Argument, Child, Children, SecretFile, ending
from provisioner.protocols.image import DiskTarget

INITIATOR = "iqn.2026-11.provisioner:writer"
COROUTINES = 16  # requests on the way at once; the most that qemu-img takes

# While its session lives qemu-img sends a NOP every 5 s, however slow the disk is. When the session
# is lost for good it tries to connect for ever, and sends nothing.
SILENCE_S = 30.0
WATCH_S = 2.0

MAX_COMPLAINT_BYTES = 8192

_PROGRESS = re.compile(rb"\(\s*(\d+(?:\.\d+)?)/100%\)")

# What qemu-img complains → whether trying again may help, and what to tell the operator.
_COMPLAINTS: tuple[tuple[re.Pattern[str], type[ProvisionerError], str, str], ...] = (
    (
        re.compile(r"authentication failure|login failed|target not found|target removed", re.IGNORECASE),
        TransientError,
        "shut out by a newer export of the disk",
        "",
    ),
    (
        re.compile(r"sum of offset .* has to be smaller|smaller than input file", re.IGNORECASE),
        PermanentError,
        "the disk is too small for the image",
        "Use a smaller image, or a node with a larger disk",
    ),
    (
        re.compile(r"could not open '(?!json:)(?!driver=)[^']*'", re.IGNORECASE),
        PermanentError,
        "the image can't be read",
        "Register the image anew",
    ),
    (
        re.compile(r"failed to connect|connection refused|no route|timed out|reset by peer", re.IGNORECASE),
        TransientError,
        "the node's iSCSI target can't be reached",
        "",
    ),
)


class QemuImageWriter:
    """`protocols.image.ImageWriter`."""

    def __init__(self, children: Children, program: str = "qemu-img") -> None:
        self._children = children
        self._program = program

    async def write(
        self,
        source: Path,
        *,
        format: str,
        target: DiskTarget,
        offset_bytes: int,
        size_bytes: int,
        progress: Callable[[float], None],
    ) -> None:
        argv = self._command_line(source, format, target, offset_bytes, size_bytes)
        device = f"iSCSI target {target.iqn} at {target.address}:{target.port}"
        async with self._children.started(argv) as child:
            complaint = bytearray()
            running = asyncio.gather(
                _follow(child, progress), _collect(child.stderr, complaint), child.wait()
            )
            watching = asyncio.ensure_future(_until_silent(child))
            try:
                await asyncio.wait((running, watching), return_when=asyncio.FIRST_COMPLETED)
                if not running.done():
                    raise TransientError(
                        "write the image",
                        device=device,
                        answer=f"the connection was lost, and not made again in {SILENCE_S:.0f} s",
                    )
                _, _, code = running.result()
            finally:
                watching.cancel()
                running.cancel()
                await asyncio.gather(watching, running, return_exceptions=True)
        if code != 0:
            raise _error(device, complaint.decode("utf-8", "replace"), code)
        progress(1.0)

    def _command_line(
        self, source: Path, format: str, target: DiskTarget, offset_bytes: int, size_bytes: int
    ) -> list[Argument]:
        portal = f"[{target.address}]" if ":" in target.address else target.address
        disk = {
            "driver": "raw",
            "offset": str(offset_bytes),
            "size": str(size_bytes),
            "file.driver": "iscsi",
            "file.transport": "tcp",
            "file.portal": f"{portal}:{target.port}",
            "file.target": target.iqn,
            "file.lun": str(target.lun),
            "file.user": target.chap_user,
            "file.password-secret": "chap",
            "file.initiator-name": INITIATOR,
        }
        return [
            *(self._program, "convert", "-p"),
            *("--object", SecretFile("secret,id=chap,file=", target.chap_password)),
            # writeback: with qemu-img's default it would never tell the disk to flush.
            *("-f", format, "-t", "writeback", "-W", "-m", str(COROUTINES)),
            # The target exists and keeps its size; its zeros are made by the target itself where it can.
            *("-n", "--target-image-opts", str(source.absolute())),
            ",".join(f"{name}={value.replace(',', ',,')}" for name, value in disk.items()),
        ]


async def _follow(child: Child, progress: Callable[[float], None]) -> None:
    rest = b""
    while data := await child.stdout.read(4096):
        rest = (rest + data)[-256:]
        if found := _PROGRESS.findall(rest):
            progress(min(1.0, float(found[-1]) / 100))


async def _collect(stream: asyncio.StreamReader, kept: bytearray) -> None:
    while data := await stream.read(4096):
        kept += data[: max(0, MAX_COMPLAINT_BYTES - len(kept))]


async def _until_silent(child: Child) -> None:
    """Returns when the child has written nothing for SILENCE_S."""
    loop = asyncio.get_running_loop()
    written, since_s = -1, loop.time()
    while loop.time() - since_s < SILENCE_S:
        await asyncio.sleep(WATCH_S)
        now_written = _written_bytes(child.pid)
        if now_written != written:
            written, since_s = now_written, loop.time()


def _written_bytes(pid: int) -> int:
    """Bytes that a process has handed to write(2) and its kin, sockets included (proc(5), wchar)."""
    try:
        fields = Path(f"/proc/{pid}/io").read_text().split()
    except OSError:  # it has just ended
        return -1
    return int(fields[fields.index("wchar:") + 1])


def _error(device: str, complaint: str, code: int) -> ProvisionerError:
    if code < 0:
        return WriteFailed("write the image", device=device, answer=ending(code))
    for pattern, kind, meaning, advice in _COMPLAINTS:
        if pattern.search(complaint):
            return kind("write the image", device=device, answer=meaning, advice=advice)
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    # Most of what is left are errors of the disk or of its transport: worth another attempt.
    answer = lines[-1][:300] if lines else ending(code)
    return WriteFailed("write the image", device=device, answer=answer)
