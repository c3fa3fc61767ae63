"""One process of the provisioner on a host of a rack: started, told to end, killed, frozen."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from bmsim.api import RunningRack
from scenarios.runner.stage import LabTrouble

STOP_S = 60.0
BIN = Path(sys.executable).parent
GUARD = b"lease_guard_program.py"


class Process:
    """One at a time, whatever happens to it; what it knows lives on in `state`.

    role: the command of `provisioner` that it is. host: the rack's host that it runs on, which names its
    files in `folder` too."""

    def __init__(
        self, rack: RunningRack, host: str, role: str, folder: Path, settings: Mapping[str, Any]
    ) -> None:
        self.host = host
        self.role = role
        self.state = folder / host
        self._rack = rack
        self._folder = folder
        self.config = folder / f"{host}.yaml"
        self.config.write_text(yaml.safe_dump({"state_dir": str(self.state), **settings}))
        self._starts = 0
        self._killed = False
        self.frozen = False
        self.told_to_end = False
        """By `end`, and nobody has noted yet that it has ended."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns at once."""
        self._starts += 1
        self._killed = self.told_to_end = False
        with (self._folder / f"{self.host}-{self._starts}.log").open("wb") as log:
            self._process = self._rack.popen(
                self.host,
                [BIN / "provisioner", self.role, "--config", self.config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def alive(self) -> bool:
        """Also while it is frozen."""
        return self._process is not None and self._process.poll() is None

    @property
    def ended_by_itself(self) -> bool:
        """As a provisioner does that has lost its lease; a service manager would start it again."""
        return not self._killed and self._process is not None and self._process.poll() is not None

    async def kill(self) -> bool:
        """SIGKILL; returns when it is dead, and nobody starts it again. False: it was dead before."""
        self._killed = True
        self.told_to_end = False
        if not self.alive:
            return False
        self._signal(signal.SIGKILL)
        assert self._process is not None
        await asyncio.to_thread(self._process.wait, STOP_S)
        self.frozen = False
        return True

    def end(self, *, at_once: bool) -> bool:
        """SIGTERM, or SIGINT; nobody starts it again by itself. A frozen one hears of it when it goes on.
        False: it was dead before. Raises LabTrouble."""
        self._killed = True
        if not self.alive:
            return False
        self._signal(signal.SIGINT if at_once else signal.SIGTERM)
        self.told_to_end = True
        return True

    def freeze(self, *, unguarded: bool = False) -> None:
        """unguarded: what ends its children with its lease is killed before. Raises LabTrouble."""
        if unguarded:
            self._kill_guard()
        self._signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Idempotent."""
        if self.frozen:
            self.frozen = False
            self._signal(signal.SIGCONT)

    async def stop(self) -> None:
        """It is gone. Idempotent."""
        self._killed = True
        if self._process is None or self._process.poll() is not None:
            return
        self.thaw()
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait, STOP_S)

    def log(self) -> str:
        """All that every start of it has logged."""
        logs = sorted(self._folder.glob(f"{self.host}-*.log"), key=os.path.getmtime)
        return "".join(path.read_text(errors="replace") for path in logs)

    def run(self, argv: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Another command on its host, to the end."""
        return self._rack.run(self.host, argv, **options)

    def _signal(self, number: signal.Signals) -> None:
        """To its own process, which `rack exec` stands before, at once. Raises LabTrouble when it is gone."""
        assert self._process is not None
        try:
            (pid,) = _children(self._process.pid)
            os.kill(pid, number)
        except (OSError, ValueError) as error:
            told = f"{number.name} to provisioner {self.role} on {self.host}: it is gone"
            raise LabTrouble(f"{told}; its log ends: {self.log()[-1000:]}") from error

    def _kill_guard(self) -> None:
        assert self._process is not None
        try:
            (provisioner,) = _children(self._process.pid)
            (guard,) = guards_of(provisioner)
            os.kill(guard, signal.SIGKILL)
        except (OSError, ValueError) as error:
            raise LabTrouble(f"provisioner {self.role} on {self.host} has no lease guard to kill") from error


def guards_of(provisioner: int) -> list[int]:
    """Its lease guard, unless it has none now. Raises OSError when it is gone."""
    found = []
    for pid in _children(provisioner):
        with suppress(OSError):  # a child that has just ended
            if GUARD in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def _children(pid: int) -> list[int]:
    """Of a process's first thread. Raises OSError."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
