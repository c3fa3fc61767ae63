"""`qemu-img` on a compute host of the model: an image's extents to a disk that an agent exports."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bmsim.devices.disk import DiskError
from provisioner.core.errors import PermanentError, TransientError, WriteFailed
from provisioner.drivers.image_writer import SILENCE_S, WATCH_S
from provisioner.protocols.image import DiskTarget
from scenarios.runner.model.agent import ModelAgent
from scenarios.runner.model.agent_commands import Export
from scenarios.runner.model.children import ChildKilled, ModelChildren
from scenarios.runner.model.contents import MIB, Content
from scenarios.runner.model.wires import Link, Wires

BYTES_PER_S = 30 * MIB
PIECES = 8
"""An image goes in so many writes: between two of them anything may happen to the disk's export."""

RECONNECT_S = 1.0
"""libiscsi tries again to log in."""


class Port(Protocol):
    def agent_at(self, address: str) -> ModelAgent | None: ...


class ModelImageWriter:
    """`provisioner.protocols.image.ImageWriter`: qemu-img is a child, its silence is its parent's to see."""

    def __init__(
        self,
        children: ModelChildren,
        wires: Wires,
        port: Port,
        link_to: Callable[[str], Link],
        content_at: Callable[[Path], Content | None],
        sender: str,
        note: Callable[..., None],
    ) -> None:
        """note(node, source, name, sender, **detail): what the disk records."""
        self._children = children
        self._wires = wires
        self._port = port
        self._link_to = link_to
        self._content_at = content_at
        self._sender = sender
        self._note = note

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
        content = self._content_at(source)
        if content is None:
            device = _device(target)
            raise PermanentError("write the image", device=device, answer="the image can't be read")
        copy = _Copy(content, target, offset_bytes, size_bytes, progress)
        running = asyncio.ensure_future(self._run(copy))
        watching = asyncio.ensure_future(_until_silent(copy))
        try:
            await asyncio.wait((running, watching), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                raise _failed(copy, f"the connection was lost, and not made again in {SILENCE_S:.0f} s")
            running.result()
        except ChildKilled:
            raise _failed(copy, f"qemu-img ended with {-signal.SIGKILL}") from None
        finally:
            watching.cancel()
            running.cancel()
            await asyncio.gather(watching, running, return_exceptions=True)

    async def _run(self, copy: _Copy) -> None:
        # Here, and not where the task is made: cancelled before its first step, it would never begin.
        await self._children.run("qemu-img", self._copied(copy))

    async def _copied(self, copy: _Copy) -> None:
        """What the child does."""
        target, content, size_bytes = copy.target, copy.content, copy.size_bytes
        session = self._login(copy)
        disk = session.agent.host.disk
        if disk is None or copy.offset_bytes + size_bytes > disk.size_bytes:
            raise PermanentError(
                "write the image", device=_device(target), answer="the disk is too small for the image"
            )
        piece = -(-size_bytes // PIECES)
        for number in range(PIECES):
            begin = number * piece
            length = min(piece, size_bytes - begin)
            await asyncio.sleep(disk.takes_s(content.size_bytes / PIECES / BYTES_PER_S))
            session = await self._connected(copy, session)
            copy.lost_at_s = None
            disk = session.agent.host.disk
            try:
                disk.write(copy.offset_bytes + begin, length, content.name, begin)
            except DiskError as error:
                raise WriteFailed(
                    "write the image", device=_device(copy.target), answer=f"error while writing: {error}"
                ) from error
            copy.progress((number + 1) / PIECES)
            if session.agent.host.cuts_session(begin + length):
                copy.lost()
                await asyncio.Event().wait()  # it tries to connect for ever
        node = session.agent.host.name
        self._note(node, "iscsi", "flushed", self._sender, image=content.name, iqn=target.iqn)

    def _login(self, copy: _Copy) -> _Session:
        target = copy.target
        agent = self._port.agent_at(target.address)
        if agent is None or self._wires.cut(self._link_to(target.address)):
            raise _failed(copy, "the node's iSCSI target can't be reached")
        export = agent.export
        if export != Export(target.iqn, target.chap_user, target.chap_password):
            self._note(agent.host.name, "iscsi", "refused", self._sender, iqn=target.iqn)
            raise _failed(copy, "shut out by a newer export of the disk")
        self._note(agent.host.name, "iscsi", "write", self._sender, image=copy.content.name, iqn=target.iqn)
        return _Session(agent, export)

    async def _connected(self, copy: _Copy, session: _Session) -> _Session:
        """Returns when a session is there. An export made anew has closed the one before, and so has the
        agent's end: libiscsi logs in again, wherever it is let in."""
        link = self._link_to(copy.target.address)
        while True:
            agent = self._port.agent_at(copy.target.address)
            if agent is None or self._wires.cut(link) or (agent.export is None and agent.alive):
                copy.lost()
                await asyncio.sleep(RECONNECT_S)
            elif agent.export is session.export:
                return session
            else:
                return self._login(copy)


@dataclass(slots=True)
class _Copy:
    """lost_at_s: since when its session is gone."""

    content: Content
    target: DiskTarget
    offset_bytes: int
    size_bytes: int
    progress: Callable[[float], None]
    lost_at_s: float | None = None

    def lost(self) -> None:
        if self.lost_at_s is None:
            self.lost_at_s = asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class _Session:
    agent: ModelAgent
    export: Export


async def _until_silent(copy: _Copy) -> None:
    """Returns when it has sent nothing for SILENCE_S: of a session that lives there is always something."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(WATCH_S)
        if copy.lost_at_s is not None and loop.time() - copy.lost_at_s >= SILENCE_S:
            return


def _failed(copy: _Copy, answer: str) -> TransientError:
    return TransientError("write the image", device=_device(copy.target), answer=answer)


def _device(target: DiskTarget) -> str:
    return f"iSCSI target {target.iqn} at {target.address}:{target.port}"
