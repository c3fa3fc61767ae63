"""Agents with commands made for tests, for each implementation of `protocols.agent`: in memory, in the model,
behind the agent's own HTTP face.

note: answers {"noted": text}. hold: ends when it is let go. fail: fails with the code disk-on-fire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol

import httpx
import pytest

from bmsim.devices.disk import Disk
from provisioner.agent.http_server import AgentServer
from provisioner.core.errors import PermanentError
from provisioner.drivers import agent_client, fake_agent
from provisioner.drivers.agent_client import HttpAgentClient
from provisioner.drivers.fake import Machine
from provisioner.drivers.fake_agent import BootedAgent, FakeAgent
from provisioner.protocols.agent import AgentClient
from scenarios.runner.model import agent as model_agent
from scenarios.runner.model.agent import ModelAgent
from scenarios.runner.model.agent_client import ModelAgentClient
from scenarios.runner.model.agent_commands import CommandFailed, Steps, Workbench
from scenarios.runner.model.wires import Link, Wires
from scenarios.runner.virtual_time import run
from tests.serving import serving
from tests.unit.agent.stage import TOKEN, Stage
from tests.unit.fakes import CountingIds

NODE, BOOT = "n1", "boot-1"
NEW_BOOT = "boot-2"
HOLD_LOOK_S = 0.05
PATIENCE_S = 1.0
DEADLINE_S = 60.0

Story = Callable[["Bench"], Coroutine[Any, Any, None]]


class Bench(Protocol):
    noted: list[str]
    """What `note` was given, in order."""

    def client(self, *, fence: int = 7, token: str = TOKEN, nobody: bool = False) -> AgentClient:
        """nobody: of a node where no agent is."""
        ...

    def holds(self) -> bool:
        """Whether `hold` is being run."""
        ...

    def let_go(self) -> None: ...

    def restart(self) -> None:
        """The agent knows nothing of its commands any more."""
        ...


# --- in memory ------------------------------------------------------------------------------------


class InMemory:
    def __init__(self) -> None:
        self.noted: list[str] = []
        self._agent = BootedAgent(Machine(NODE), BOOT, TOKEN)

    def client(self, *, fence: int = 7, token: str = TOKEN, nobody: bool = False) -> AgentClient:
        return FakeAgent(lambda: None if nobody else self._agent, NODE, token, fence)

    def note(self, agent: BootedAgent, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self.noted.append(params["text"])
        return {"noted": params["text"]}

    def fail(self, agent: BootedAgent, params: Mapping[str, Any]) -> Mapping[str, Any]:
        error = PermanentError("run fail", answer="the disk /dev/sda is on fire; fetch water")
        error.code = "disk-on-fire"
        raise error

    def holds(self) -> bool:
        raise NotImplementedError("its commands take no time")

    let_go = restart = holds


# --- in the model ---------------------------------------------------------------------------------


@dataclass
class Computer:
    """`agent_commands.Host`."""

    name: str = NODE
    disk: Disk = field(default_factory=lambda: Disk(64 * 2**20))
    cpus: int = 1
    memory_mib: int = 1024
    arch: str = "x86_64"
    mac: str = "52:54:00:77:00:01"
    drives: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def cuts_session(self, written_bytes: int) -> bool:
        return False


def silently(*what: Any, **detail: Any) -> None:
    """Nobody reads this record."""


def wires() -> Wires:
    return Wires(Random(7), lambda fault, link, what: None)


class InTheModel:
    """`agent_client.Port`, too. Made inside a running VirtualLoop."""

    ADDRESS, NOBODYS = "10.77.0.101", "10.77.0.102"

    def __init__(self) -> None:
        self.noted: list[str] = []
        self._gate = self._holding = False
        self._ids = CountingIds()
        self._wires = wires()
        self._agent = self._booted(BOOT)

    def _booted(self, boot_id: str) -> ModelAgent:
        loop = asyncio.get_running_loop()
        return ModelAgent(loop, Computer(), node_id=NODE, boot_id=boot_id, token=TOKEN, note=silently)

    def agent_at(self, address: str) -> ModelAgent | None:
        return self._agent if address == self.ADDRESS else None

    def refuses_at(self, address: str) -> bool:
        return address == self.NOBODYS

    def client(self, *, fence: int = 7, token: str = TOKEN, nobody: bool = False) -> AgentClient:
        address = self.NOBODYS if nobody else self.ADDRESS
        link = Link("agent", "ch1", NODE)
        return ModelAgentClient(self._wires, self, link, address, token, fence, "ch1#1", self._ids)

    def note(self, bench: Workbench, params: Mapping[str, Any]) -> Steps:
        yield HOLD_LOOK_S
        self.noted.append(params["text"])
        return {"noted": params["text"]}

    def hold(self, bench: Workbench, params: Mapping[str, Any]) -> Steps:
        self._holding = True
        while not self._gate:
            yield HOLD_LOOK_S
        self._holding = False
        return {}

    def fail(self, bench: Workbench, params: Mapping[str, Any]) -> Steps:
        yield HOLD_LOOK_S
        raise CommandFailed("disk-on-fire", "the disk /dev/sda is on fire; fetch water")

    def holds(self) -> bool:
        return self._holding

    def let_go(self) -> None:
        self._gate = True

    def restart(self) -> None:
        self._agent.die()
        self._agent = self._booted(NEW_BOOT)


# --- behind HTTP ----------------------------------------------------------------------------------


class BehindHttp:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ids = CountingIds()
        self._stages = [self._staged()]
        self.server = AgentServer(
            ("127.0.0.1", 0),
            token=TOKEN,
            board=self._stages[0].board,
            status=lambda: {
                "node": NODE,
                "boot_id": BOOT,
                "version": "1.0",
                "fence": self._stages[-1].board.fence,
            },
        )
        self.http: httpx.AsyncClient

    def _staged(self) -> Stage:
        return Stage(self._folder)

    @property
    def noted(self) -> list[str]:
        return [act for stage in self._stages for act in stage.acts if act != "shut out"]

    def client(self, *, fence: int = 7, token: str = TOKEN, nobody: bool = False) -> AgentClient:
        address = "127.0.0.2" if nobody else "127.0.0.1"
        return HttpAgentClient(address, self.server.server_port, token, fence, self.http, self._ids)

    def holds(self) -> bool:
        last = self._stages[-1].board.last()
        return last is not None and last["name"] == "hold" and last["state"] == "running"

    def let_go(self) -> None:
        self._stages[-1].gate.set()

    def restart(self) -> None:
        self._stages.append(self._staged())
        self.server.board = self._stages[-1].board

    def close(self) -> None:
        for stage in self._stages:
            stage.close()


@contextmanager
def behind_http(folder: Path) -> Iterator[BehindHttp]:
    bench = BehindHttp(folder)
    with serving(bench.server), closing(bench):
        yield bench


# --- stories --------------------------------------------------------------------------------------


def play(kind: str, folder: Path, patch: pytest.MonkeyPatch, story: Story) -> None:
    """kind: fake, model, http."""
    match kind:
        case "fake":
            memory = InMemory()
            patch.setattr(fake_agent, "_COMMANDS", {"note": memory.note, "fail": memory.fail})
            asyncio.run(_bounded(story(memory)))
        case "model":
            run(_in_the_model(patch, story), 1)
        case _:
            patch.setattr(agent_client, "SILENCE_S", PATIENCE_S)
            with behind_http(folder) as bench:
                asyncio.run(_bounded(_over_http(bench, story)))


async def _in_the_model(patch: pytest.MonkeyPatch, story: Story) -> None:
    bench = InTheModel()
    commands = {"note": bench.note, "hold": bench.hold, "fail": bench.fail}
    patch.setattr(model_agent, "COMMANDS", commands)
    await story(bench)


async def _over_http(bench: BehindHttp, story: Story) -> None:
    async with httpx.AsyncClient(trust_env=False) as bench.http:
        await story(bench)


async def _bounded(story: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await story
