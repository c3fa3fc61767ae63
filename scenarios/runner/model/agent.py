"""The agent in a deploy ramdisk of the model: takes one command at a time, from whoever has the newest fence.

Runs on the machine's side of the wires: it dies with the machine, and lives on when a compute host dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bmsim.devices.disk import DiskError
from scenarios.runner.model.agent_commands import (
    COMMANDS,
    CommandFailed,
    Export,
    Host,
    Steps,
    Workbench,
    device_of,
)
from scenarios.runner.processes import as_world


@dataclass(slots=True)
class Command:
    id: str
    name: str
    sender: str
    ended: asyncio.Future[Mapping[str, Any]]
    error: CommandFailed | None = None
    work: Steps | None = None
    timer: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        return not self.ended.done()


@dataclass(frozen=True, slots=True)
class Refusal:
    """status and code as in the protocol's table. running: the command in hand, for "busy"."""

    status: int
    code: str
    detail: str = ""
    running: str = ""


class ModelAgent:
    """One boot of it. note: the device's own record of what it was told."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: Host,
        *,
        node_id: str,
        boot_id: str,
        token: str,
        note: Callable[..., None],
        fence: int = 0,
    ) -> None:
        self._loop = loop
        self.host = host
        self.node_id = node_id
        self.boot_id = boot_id
        self.token = token
        self.fence = fence
        self.alive = True
        self._bench = Workbench(host, node_id, boot_id)
        self._note = note
        self._commands: dict[str, Command] = {}
        self._current: Command | None = None

    @property
    def export(self) -> Export | None:
        return self._bench.export

    def die(self) -> None:
        """The machine stops; nobody is told, and whoever waits waits on."""
        self.alive = False
        if self._current is not None and self._current.timer is not None:
            self._current.timer.cancel()

    def admits(self, token: str) -> bool:
        return token == self.token

    def give(
        self, id: str, name: str, params: Mapping[str, Any], fence: int, sender: str
    ) -> Command | Refusal:
        if fence < self.fence:
            return Refusal(403, "stale-fence", f"fence {fence} is older than {self.fence}")
        if fence > self.fence:
            self._superseded(fence)
        if known := self._commands.get(id):
            return known
        if self._current is not None and self._current.running:
            return Refusal(409, "busy", f"{self._current.name} runs", self._current.id)
        work = COMMANDS.get(name)
        if work is None:
            return Refusal(400, "unknown-command-name", f"there is no command {name}")
        command = Command(id, name, sender, self._loop.create_future(), work=work(self._bench, params))
        self._commands[id] = self._current = command
        self._note("agent", "command", sender, command=name, fence=fence)
        self._advance(command)
        return command

    def find(self, id: str) -> Command | None:
        return self._commands.get(id)

    def cancel(self, id: str, fence: int) -> None:
        command = self._commands.get(id)
        if command is not None and command.running and fence >= self.fence:
            self._end(command, CommandFailed("cancelled", "cancelled"))

    def _superseded(self, fence: int) -> None:
        self.fence, self._bench.export = fence, None
        if self._current is not None and self._current.running:
            self._end(self._current, CommandFailed("superseded", f"fence {fence} took over"))

    def _advance(self, command: Command) -> None:
        assert command.work is not None
        command.timer = None
        try:
            pause_s = next(command.work)
        except StopIteration as done:
            if command.name == "export_disk":
                self._note("iscsi", "exported", command.sender, iqn=done.value["iqn"])
            command.ended.set_result(done.value)
        except CommandFailed as error:
            self._end(command, error)
        except DiskError as error:
            self._end(command, CommandFailed("disk-error", f"{device_of(self.host.disk)}: {error}"))
        else:
            command.timer = as_world(self._loop.call_later, pause_s, self._advance, command)

    def _end(self, command: Command, error: CommandFailed) -> None:
        if command.timer is not None:
            command.timer.cancel()
        command.error = error
        command.ended.set_result({})
