"""`qemu-img` on a compute host of the model: an image's extents to a disk that an agent exports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bmsim.devices.disk import DiskError
from provisioner.core.errors import PermanentError, TransientError
from provisioner.drivers.image_writer import SILENCE_S
from provisioner.protocols.image import DiskTarget
from scenarios.runner.model.agent import ModelAgent
from scenarios.runner.model.agent_commands import Export
from scenarios.runner.model.contents import MIB, Content
from scenarios.runner.model.wires import Link, Wires

BYTES_PER_S = 30 * MIB
PIECES = 8
"""An image goes in so many writes: between two of them anything may happen to the disk's export."""

WATCH_S = 2.0


class Port(Protocol):
    def agent_at(self, address: str) -> ModelAgent | None: ...


class ModelImageWriter:
    """`provisioner.protocols.image.ImageWriter`."""

    def __init__(
        self,
        wires: Wires,
        port: Port,
        link_to: Callable[[str], Link],
        content_at: Callable[[Path], Content | None],
        sender: str,
        note: Callable[..., None],
    ) -> None:
        """note(node, source, name, sender, **detail): what the disk records."""
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
        device = f"iSCSI target {target.iqn} at {target.address}:{target.port}"
        content = self._content_at(source)
        if content is None:
            raise PermanentError("write the image", device=device, answer="the image can't be read")
        agent = self._login(device, target)
        disk = agent.host.disk
        if disk is None or offset_bytes + size_bytes > disk.size_bytes:
            raise PermanentError(
                "write the image", device=device, answer="the disk is too small for the image"
            )
        node = agent.host.name
        self._note(node, "iscsi", "write", self._sender, image=content.name, iqn=target.iqn)
        piece = -(-size_bytes // PIECES)
        for number in range(PIECES):
            begin = number * piece
            length = min(piece, size_bytes - begin)
            await asyncio.sleep(disk.takes_s(content.size_bytes / PIECES / BYTES_PER_S))
            await self._connected(device, target, agent)
            try:
                disk.write(offset_bytes + begin, length, content.name, begin)
            except DiskError as error:
                raise TransientError(
                    "write the image", device=device, answer=f"error while writing: {error}"
                ) from error
            progress((number + 1) / PIECES)
            if agent.host.cuts_session(begin + length):
                await asyncio.sleep(SILENCE_S)
                raise _lost(device)
        self._note(node, "iscsi", "flushed", self._sender, image=content.name, iqn=target.iqn)

    def _login(self, device: str, target: DiskTarget) -> ModelAgent:
        link = self._link_to(target.address)
        agent = self._port.agent_at(target.address)
        if agent is None or self._wires.cut(link):
            raise TransientError(
                "write the image", device=device, answer="the node's iSCSI target can't be reached"
            )
        if agent.export != Export(target.iqn, target.chap_user, target.chap_password):
            self._note(agent.host.name, "iscsi", "refused", self._sender, iqn=target.iqn)
            raise TransientError(
                "write the image", device=device, answer="shut out by a newer export of the disk"
            )
        return agent

    async def _connected(self, device: str, target: DiskTarget, agent: ModelAgent) -> None:
        """Returns when the session is there; waits for it as long as qemu-img is let wait."""
        link, waited_s = self._link_to(target.address), 0.0
        wanted = Export(target.iqn, target.chap_user, target.chap_password)
        while not agent.alive or self._wires.cut(link):
            if waited_s >= SILENCE_S:
                raise _lost(device)
            await asyncio.sleep(WATCH_S)
            waited_s += WATCH_S
        if agent.export != wanted:
            raise TransientError(
                "write the image", device=device, answer="shut out by a newer export of the disk"
            )


def _lost(device: str) -> TransientError:
    return TransientError(
        "write the image",
        device=device,
        answer=f"the connection was lost, and not made again in {SILENCE_S:.0f} s",
    )
