"""An agent in this process, with commands made for tests, behind its real HTTP face."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from provisioner.agent.board import CommandBoard, Run
from provisioner.agent.errors import CommandError
from provisioner.agent.http_server import AgentServer
from provisioner.agent.job import Job
from provisioner.agent.params import Params
from tests.agent_peer import AgentPeer
from tests.serving import serving

TOKEN = "0123456789abcdef0123456789abcdef"
STEP_S = 0.01


class Stage:
    """What the commands did, and a gate that `hold` waits at, once it says that it is `holding`."""

    def __init__(self, folder: Path, fence: int = 0) -> None:
        self.acts: list[str] = []
        self.gate = threading.Event()
        self.holding = threading.Event()
        self.said: list[str] = []
        self.board = CommandBoard(
            {"note": self._note, "hold": self._hold, "fail": self._fail, "break": self._break},
            fence=fence,
            fence_file=folder / "fence",
            shut_out=lambda: self.acts.append("shut out"),
            say=self.said.append,
        )

    def close(self) -> None:
        self.gate.set()
        self.board.close()

    def _note(self, params: Params) -> Run:
        text = params.text("text", "[a-z]+")

        def run(job: Job) -> dict[str, Any]:
            self.acts.append(text)
            return {"noted": text}

        return run

    def _hold(self, params: Params) -> Run:
        stubborn = params.integer("stubborn", 0, 1, default=0)

        def run(job: Job) -> dict[str, Any]:
            job.progress(1, 2)
            self.holding.set()
            while not self.gate.is_set():
                self.gate.wait(STEP_S) if stubborn else job.wait(STEP_S)
            return {}

        return run

    def _fail(self, params: Params) -> Run:
        def run(job: Job) -> dict[str, Any]:
            raise CommandError("disk-on-fire", "the disk /dev/sda is on fire; fetch water")

        return run

    def _break(self, params: Params) -> Run:
        return lambda job: {"never": 1 // 0}


@contextmanager
def staged(folder: Path, fence: int = 0) -> Iterator[tuple[Stage, AgentPeer]]:
    """fence: what the boot was told."""
    stage = Stage(folder, fence)
    server = AgentServer(
        ("127.0.0.1", 0),
        token=TOKEN,
        board=stage.board,
        status=lambda: {"fence": stage.board.fence, "command": stage.board.last()},
    )
    with serving(server), closing(stage):
        yield stage, AgentPeer("127.0.0.1", server.server_port, TOKEN, fence=5)
