"""A device of bmsim's in a process of its own, which can be killed and started again."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from abc import ABC, abstractmethod

START_DEADLINE_S = 30.0


class DeviceProcess(ABC):
    """module: what is run; its configuration goes in at its standard input, and it says when it listens."""

    module: str
    _process: subprocess.Popen[str] | None = None

    @abstractmethod
    def _config(self) -> dict[str, object]: ...

    def start(self) -> None:
        """Returns when it listens."""
        process = subprocess.Popen(
            [sys.executable, "-m", self.module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._process = process
        assert process.stdin is not None and process.stdout is not None
        killer = threading.Timer(START_DEADLINE_S, process.kill)
        killer.start()
        try:
            process.stdin.write(json.dumps(self._config()))
            process.stdin.close()
            while (line := process.stdout.readline()) and line != "ready\n":
                pass
        finally:
            killer.cancel()
        assert line == "ready\n", f"{self.module} ended, or wasn't ready in {START_DEADLINE_S:.0f} s"

    def kill(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
