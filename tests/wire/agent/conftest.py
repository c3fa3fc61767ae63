"""The agent with its real commands in this process, and loop devices for disks."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioner.agent.board import CommandBoard
from provisioner.agent.commands import commands
from provisioner.agent.export import Exports
from provisioner.agent.http_server import AgentServer
from tests.agent_peer import AgentPeer
from tests.serving import serving

TOKEN = "0123456789abcdef0123456789abcdef"
NODE = "7d0a2a54-4c1e-4a6b-9a52-0d3b8e4f6c11"


@dataclass(frozen=True)
class Disk:
    device: str
    file: Path

    def content(self, offset: int = 0, size: int = -1) -> bytes:
        """What lies on the medium: the file, not the loop device's cache."""
        with self.file.open("rb") as file:
            file.seek(offset)
            return file.read(size)


MakeDisk = Callable[..., Disk]


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """`make_disk(mib, garbage=True)`: garbage, so that nothing is zero by chance."""
    with ExitStack() as stack:

        def make(mib: int, *, garbage: bool = False, sector_bytes: int = 512) -> Disk:
            file = tmp_path / f"disk{len(list(tmp_path.glob('disk*')))}"
            with file.open("wb") as writing:
                if garbage:
                    piece = os.urandom(2**20)
                    for _ in range(mib):
                        writing.write(piece)
                writing.truncate(mib * 2**20)
            return Disk(stack.enter_context(loop(file, sector_bytes)), file)

        yield make


@contextlib.contextmanager
def loop(file: Path, sector_bytes: int) -> Iterator[str]:
    argv = ["losetup", "--find", "--show", "--partscan", f"--sector-size={sector_bytes}", str(file)]
    device = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@dataclass(frozen=True)
class RealAgent:
    peer: AgentPeer
    said: list[str]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[RealAgent]:
    said: list[str] = []
    exports = Exports(tmp_path)
    board = CommandBoard(
        commands(node=NODE, boot_mac="52:54:00:77:00:01", exports=exports),
        fence_file=tmp_path / "fence",
        shut_out=exports.withdraw,
        say=said.append,
    )
    server = AgentServer(("127.0.0.1", 0), token=TOKEN, board=board, status=lambda: {"fence": board.fence})
    with serving(server), closing(board):
        yield RealAgent(AgentPeer("127.0.0.1", server.server_port, TOKEN), said)
