"""Exported disks for each implementation of `protocols.image`: a record in memory, extents of the model,
a file behind the agent's target daemon."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

import pytest

from bmsim.devices.disk import Disk
from provisioner.drivers import image_writer
from provisioner.drivers.fake import FakeRack, FakeWriter
from provisioner.drivers.fake_agent import DISK_BYTES, BootedAgent, Written, raw_content
from provisioner.drivers.image_writer import QemuImageWriter
from provisioner.protocols.image import DiskTarget, ImageWriter
from provisioner.services.children import SystemChildren
from scenarios.runner.model.agent import ModelAgent
from scenarios.runner.model.children import ModelChildren
from scenarios.runner.model.contents import LIBRARY, ImageServer, digest_of_range
from scenarios.runner.model.image_writer import ModelImageWriter
from scenarios.runner.model.wires import Link, Wires
from scenarios.runner.processes import Process
from scenarios.runner.virtual_time import run
from tests.contract.drivers.agents import Computer, silently, wires
from tests.unit.fakes import CountingIds
from tests.wire.drivers.test_image_writer import (
    DISK_MIB,
    IMAGE_MIB,
    Exported,
    exporting,
    play,
    slow_qemu_img,
    words_of_children,
)
from tests.wire.services.segment import segment

MIB = 2**20
OFFSET = MIB
TARGET = DiskTarget(
    address="10.77.0.101",
    port=3260,
    iqn="iqn.2026-11.provisioner:node.1.1",
    lun=1,
    chap_user="provisioner",
    chap_password="0123456789abcdef0123456789abcdef",
)


class Bench(Protocol):
    """source, size_bytes: an image. target: a disk, with other bytes on it. disk_bytes: its size."""

    source: Path
    size_bytes: int
    target: DiskTarget
    disk_bytes: int

    def writer(self, *, slow: bool = False) -> ImageWriter:
        """slow: one that is seen midway, whatever a machine is busy with."""
        ...

    def holds_image(self) -> bool:
        """Whole, at OFFSET, and beside it what lay there before."""
        ...

    def untouched(self) -> bool: ...

    def lose(self) -> None:
        """Nothing is reached any more where the disk was."""
        ...

    async def goes_on(self) -> bool:
        """Whether anything of a writing still happens."""
        ...


Story = Callable[[Bench], Coroutine[Any, Any, None]]


class InMemory:
    target = TARGET
    disk_bytes = DISK_BYTES

    def __init__(self, folder: Path) -> None:
        self.source = folder / "image.raw"
        self.source.write_bytes(os.urandom(MIB))
        self.size_bytes = MIB
        self._rack = FakeRack(lambda event: None, CountingIds())
        self._machine = self._rack.machine("n1")
        self._before = self._machine.disk = Written(0, DISK_BYTES, "an earlier tenant's")
        self._machine.agent = agent = BootedAgent(self._machine, "boot-1", "token")
        agent.export = (TARGET.iqn, TARGET.chap_user, TARGET.chap_password)

    def writer(self, *, slow: bool = False) -> ImageWriter:
        return FakeWriter(self._rack)

    def holds_image(self) -> bool:
        return self._machine.disk == Written(OFFSET, self.size_bytes, raw_content(self.source))

    def untouched(self) -> bool:
        return self._machine.disk == self._before

    def lose(self) -> None:
        self._machine.agent = None

    async def goes_on(self) -> bool:
        return False


class InTheModel:
    """`image_writer.Port`, too. Made inside a running VirtualLoop."""

    target = TARGET
    disk_bytes = 256 * MIB

    def __init__(self) -> None:
        self._images, self._content = ImageServer(lambda fault, image: None), LIBRARY["tiny"]
        self.source = self._images.path(self._content.sha256)
        self.size_bytes = self._content.virtual_size_bytes
        self._wires: Wires = wires()
        self._disk = Disk(self.disk_bytes, content="an earlier tenant's")
        loop = asyncio.get_running_loop()
        self._agent: ModelAgent | None = ModelAgent(
            *(loop, Computer(disk=self._disk)), node_id="n1", boot_id="boot-1", token="token", note=silently
        )
        params = {"iqn": TARGET.iqn, "chap_user": TARGET.chap_user, "chap_password": TARGET.chap_password}
        self._agent.give("1", "export_disk", params, 1, "ch1#1")

    async def exported(self) -> None:
        while self._agent is not None and self._agent.export is None:
            await asyncio.sleep(0.01)

    def agent_at(self, address: str) -> ModelAgent | None:
        return self._agent

    def writer(self, *, slow: bool = False) -> ImageWriter:
        children = ModelChildren(Process("ch1"))
        link = Link("iscsi", "ch1", "n1")
        return ModelImageWriter(
            children, self._wires, self, lambda address: link, self._images.content_at, "ch1#1", silently
        )

    def holds_image(self) -> bool:
        end = OFFSET + self.size_bytes
        written = digest_of_range(self._disk.read(OFFSET, self.size_bytes))
        beside = self._disk.read(0, OFFSET) + self._disk.read(end, self.disk_bytes - end)
        return written == self._content.tree_digest and _are_old(beside)

    def untouched(self) -> bool:
        return _are_old(self._disk.read(0, self.disk_bytes))

    def lose(self) -> None:
        assert self._agent is not None
        self._agent.die()
        self._agent = None

    async def goes_on(self) -> bool:
        before = self._disk.read(0, self.disk_bytes)
        await asyncio.sleep(600)
        return self._disk.read(0, self.disk_bytes) != before


def _are_old(extents: list[Any]) -> bool:
    return {extent.content for extent in extents} == {"an earlier tenant's"}


class BehindTheDaemon:
    disk_bytes = DISK_MIB * MIB
    size_bytes = IMAGE_MIB * MIB

    def __init__(self, folder: Path, exported: Exported, patch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._patch = patch
        self.source = folder / "image.raw"
        self.source.write_bytes(os.urandom(self.size_bytes))
        self.target = exported.target
        self._exported = exported

    def writer(self, *, slow: bool = False) -> ImageWriter:
        program = slow_qemu_img(self._folder) if slow else "qemu-img"
        return QemuImageWriter(SystemChildren(), program)

    def holds_image(self) -> bool:
        old = b"\xaa"
        before, after = old * OFFSET, old * (self.disk_bytes - OFFSET - self.size_bytes)
        return self._exported.disk.read_bytes() == before + self.source.read_bytes() + after

    def untouched(self) -> bool:
        return self._exported.disk.read_bytes() == b"\xaa" * self.disk_bytes

    def lose(self) -> None:
        os.kill(self._exported.daemon._child.pid, signal.SIGSTOP)  # at once: it takes no more bytes
        self._patch.setattr(image_writer, "SILENCE_S", 2.0)
        self._exported.daemon.kill()

    async def goes_on(self) -> bool:
        return any(words.startswith(b"qemu-img") for words in words_of_children())


def plays(kind: str, folder: Path, patch: pytest.MonkeyPatch, story: Story) -> None:
    """kind: fake, model, qemu-img."""
    match kind:
        case "fake":
            play(lambda: story(InMemory(folder)))
        case "model":
            run(_in_the_model(story), 1)
        case _:
            patch.setattr(image_writer, "WATCH_S", 0.2)
            # The target's port is a fixed one: in a namespace it is free.
            with segment(), exporting(folder) as exported:
                play(lambda: story(BehindTheDaemon(folder, exported, patch)))


async def _in_the_model(story: Story) -> None:
    bench = InTheModel()
    await bench.exported()
    await story(bench)
