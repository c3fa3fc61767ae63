"""`provisioner serve` on a compute host of a rack: started, spoken to, killed, frozen."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from bmsim.api import RunningRack
from scenarios.runner.stage import Answer, LabTrouble

READY_S = 300.0
"""On two cores that emulate machines meanwhile."""

POLL_S = 0.25
BIN = Path(sys.executable).parent


class Serve:
    """One at a time, whatever happens to it; its state lives on in `folder`."""

    def __init__(self, rack: RunningRack, host: str, folder: Path, settings: Mapping[str, Any]) -> None:
        self.host = host
        self.starts = 0
        self._killed = False
        self._rack = rack
        self._folder = folder
        self._state = folder / "provisioner"
        self._socket = folder / "api.sock"
        self._config = folder / "provisioner.yaml"
        self._config.write_text(
            yaml.safe_dump({"state_dir": str(self._state), "api": {"socket": str(self._socket)}, **settings})
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._http: httpx.AsyncClient | None = None

    async def start(self) -> None:
        """Returns when it is ready. Raises LabTrouble when it ends instead."""
        self.starts += 1
        self._killed = False
        with (self._folder / f"serve-{self.starts}.log").open("wb") as log:
            self._process = self._rack.popen(
                self.host,
                [BIN / "provisioner", "serve", "--config", self._config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        async with asyncio.timeout(READY_S):
            while not await self._ready():  # noqa: ASYNC110 - another process gets ready
                await asyncio.sleep(POLL_S)

    async def _ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise LabTrouble(f"provisioner serve ended with {self._process.returncode}: {self.log()[-2000:]}")
        if not self._socket.exists():
            return False
        try:
            return (await self.call("GET", "/readyz")).status == 200
        except httpx.HTTPError:
            return False

    async def call(self, method: str, path: str, body: Any = None, *, key: str = "") -> Answer:
        """Raises httpx.HTTPError while it isn't there."""
        token = (self._state / "admin.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        if key:
            headers["Idempotency-Key"] = key
        if self._http is None:
            transport = httpx.AsyncHTTPTransport(uds=str(self._socket))
            self._http = httpx.AsyncClient(transport=transport, base_url="http://provisioner", timeout=60)
        answer = await self._http.request(method, path, json=body, headers=headers)
        return Answer(status=answer.status_code, body=json.loads(answer.content) if answer.content else None)

    @property
    def ended_by_itself(self) -> bool:
        """As a provisioner does that has lost its lease; a service manager would start it again."""
        return not self._killed and self._process is not None and self._process.poll() is not None

    async def kill(self) -> None:
        """SIGKILL; returns when it is dead."""
        self._killed = True
        await self._signal(signal.SIGKILL)
        assert self._process is not None
        await asyncio.to_thread(self._process.wait, 60)

    async def freeze(self) -> None:
        await self._signal(signal.SIGSTOP)

    async def thaw(self) -> None:
        await self._signal(signal.SIGCONT)

    async def _signal(self, number: signal.Signals) -> None:
        """To its own process, which `rack exec` stands before."""
        pid = (self._state / "lock").read_text().strip()
        argv = ["kill", f"-{number.value}", pid]
        done = await asyncio.to_thread(self._rack.run, self.host, argv, capture_output=True, text=True)
        if done.returncode != 0:
            raise LabTrouble(f"{number.name} to provisioner serve: {done.stderr}")

    def log(self) -> str:
        """All that every start of it has logged."""
        logs = sorted(self._folder.glob("serve-*.log"), key=os.path.getmtime)
        return "".join(path.read_text(errors="replace") for path in logs)

    async def stop(self) -> None:
        if self._http is not None:
            await self._http.aclose()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, 60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                await asyncio.to_thread(self._process.wait, 60)
