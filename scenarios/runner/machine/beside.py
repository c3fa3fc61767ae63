"""A program of the lab on a compute host, beside the provisioner: told by a file which faults there are, it
tells on standard output what they did."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bmsim.api import RunningRack
from scenarios.runner.stage import LabTrouble

READY = "ready"
READY_S = 60.0
POLL_S = 0.1


class Beside:
    """module: what `python -m` runs. It gets `given` and the file of faults as one JSON object on standard
    input, says `ready`, and then a JSON object a line for each time that a fault struck. It ends with us."""

    def __init__(
        self, rack: RunningRack, host: str, folder: Path, module: str, given: Mapping[str, Any]
    ) -> None:
        self._rack = rack
        self._host = host
        self._module = module
        self._given = given
        name = f"{host}-{module.rpartition('.')[2]}"
        self._faults_file = folder / f"{name}.faults"
        self._told_file = folder / f"{name}.told"
        self._log_file = folder / f"{name}.log"
        self._faults: dict[str, dict[str, Mapping[str, Any]]] = {}  # fault → subject → parameters
        self._read_bytes = 0
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Returns when it is ready. Raises LabTrouble when it doesn't become so."""
        self._write()
        with self._told_file.open("wb") as told, self._log_file.open("wb") as log:
            argv = [sys.executable, "-m", self._module]
            self._process = self._rack.popen(self._host, argv, stdin=subprocess.PIPE, stdout=told, stderr=log)
        assert self._process.stdin is not None
        with self._process.stdin as stdin:
            stdin.write(json.dumps({**self._given, "faults": str(self._faults_file)}).encode())
        try:
            async with asyncio.timeout(READY_S):
                while not self._told_file.read_text().startswith(READY):
                    if self._process.poll() is not None:
                        raise LabTrouble(f"{self._module} ended: {self._log_file.read_text()[-2000:]}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            log_text = self._log_file.read_text()[-2000:]
            raise LabTrouble(f"{self._module} isn't ready in {READY_S:.0f} s: {log_text}") from None

    def inject(self, fault: str, subject: str, parameters: Mapping[str, Any]) -> None:
        """In force when this returns. subject: what it is about, as the module calls it."""
        self._faults.setdefault(fault, {})[subject] = parameters
        self._write()

    def heal(self, fault: str, subject: str) -> None:
        self._faults.get(fault, {}).pop(subject, None)
        self._write()

    def fresh(self) -> list[dict[str, Any]]:
        """What it has told since the last time."""
        if not self._told_file.exists():
            return []
        with self._told_file.open("rb") as file:
            file.seek(self._read_bytes)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read_bytes += len(whole) + len(end)
        return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)

    def _write(self) -> None:
        # Renamed into place: it is read at any moment.
        new = self._faults_file.with_suffix(".new")
        new.write_text(json.dumps(self._faults))
        new.replace(self._faults_file)


def tell(**what: Any) -> None:
    """Said by the module."""
    print(json.dumps(what), flush=True)


def say_ready() -> None:
    print(READY, flush=True)


def faults_in(path: Path, fault: str) -> Mapping[str, Mapping[str, Any]]:
    """Asked by the module: subject → parameters, of a fault that is in force."""
    found: Mapping[str, Mapping[str, Any]] = json.loads(path.read_text()).get(fault, {})
    return found
