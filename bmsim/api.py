"""Racks from Python, for tests and scenarios."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bmsim import audit
from bmsim.backends.accelerator import accelerator
from bmsim.rack import faults
from bmsim.rack.inventory import inventory
from bmsim.rack.spec import Rack
from bmsim.rack.state import RackState, racks_folder
from bmsim.rack.yaml_source import load
from bmsim.sandbox import launch
from bmsim.sandbox.control import order


class RunningRack:
    """A rack that is up; as a context manager, taken down at the end. Errors are RackError.

    It ends with the process that brought it up, however that one ends; `bmsim rack up` makes those that stay.
    """

    def __init__(self, state: RackState, kept: int) -> None:
        """kept: the end of a pipe with which the rack ends."""
        self.state = state
        self.spec = state.rack()
        self._kept: int | None = kept

    @classmethod
    def up(cls, rack: Path | Rack | Mapping[str, Any], state: Path | None = None) -> Self:
        """Returns when its BMCs answer. `rack` is a rack file, or what stands in one; `state` is the folder
        of the racks."""
        match rack:
            case Path():
                spec = load(rack, Rack)
            case Rack():
                spec = rack
            case _:
                spec = Rack.model_validate(rack)
        owner, kept = os.pipe()
        try:
            return cls(launch.up(spec, accelerator(), state or racks_folder(), owner), kept)
        except BaseException:
            os.close(kept)
            raise
        finally:
            os.close(owner)

    def popen(self, host: str, argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
        """Starts a command on a compute host. It gets SIGTERM, SIGHUP and SIGUSR1/2 sent to what is returned,
        dies with it, with us and with the rack."""
        return subprocess.Popen(self._command(host, argv), **options)

    def run(self, host: str, argv: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Runs a command on a compute host to its end."""
        return subprocess.run(self._command(host, argv), **options)

    def _command(self, host: str, argv: Sequence[str | Path]) -> list[str | Path]:
        rack = ("--rack", self.state.name, "--state", self.state.folder.parent)
        return [sys.executable, "-m", "bmsim", "rack", "exec", *rack, host, "--", *argv]

    def inventory(self) -> dict[str, Any]:
        """The rack as a provisioner's node file, BMC passwords included."""
        return inventory(self.spec)

    def running(self) -> dict[str, bool]:
        """Which machines are on."""
        found: dict[str, bool] = order(self.state, "status")["running"]
        return found

    def inject(self, target: str, fault: str, /, **parameters: Any) -> None:
        """Breaks something of a node or of a compute host."""
        faults.inject(self.state, target, fault, parameters)

    def heal(self, target: str, fault: str | None = None) -> None:
        """Mends one fault of a node or of a compute host, or all."""
        faults.heal(self.state, target, fault)

    def console(self, node: str) -> str:
        """All that the machine has said on its serial console."""
        log = self.state.console_log(node)
        return log.read_text(errors="replace") if log.exists() else ""

    def received(self) -> list[audit.Entry]:
        """Every command that the rack's devices have received."""
        return list(audit.read(self.state.audit_file))

    def down(self) -> None:
        """Nothing of the rack is left. Idempotent."""
        launch.down(self.state)
        if self._kept is not None:
            os.close(self._kept)
            self._kept = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()
