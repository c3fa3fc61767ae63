"""A BMC over the wire: bmsim's, in a process of its own, in front of libvirt's test machine."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

USER, PASSWORD = "admin", "correct horse"

MACHINE = """<node><domain type='test'><name>n1</name><memory>65536</memory><vcpu>1</vcpu>
<os><type>hvm</type><boot dev='network'/></os></domain></node>"""

START_DEADLINE_S = 20.0


class Bmc:
    """A BMC that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_udp_port()
        self._process: subprocess.Popen[str] | None = None
        (folder / "machine.xml").write_text(MACHINE)

    @property
    def address(self) -> dict[str, object]:
        return {"address": "127.0.0.1", "port": self.port, "user": USER}

    def faults(self, faults: Mapping[str, Mapping[str, object]]) -> None:
        """From now on it behaves so (bmsim's catalogue of faults)."""
        new = self.folder / "faults.new"
        new.write_text(json.dumps(faults))
        new.replace(self.folder / "faults.json")

    def console_prints(self, text: bytes) -> None:
        """The machine prints this on its serial port."""
        with (self.folder / "console.log").open("ab") as log:
            log.write(text)

    def start(self) -> None:
        """Returns when it listens."""
        process = subprocess.Popen(
            [sys.executable, "-m", "bmsim.faces.bmc_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._process = process
        assert process.stdin is not None and process.stdout is not None
        killer = threading.Timer(START_DEADLINE_S, process.kill)
        killer.start()
        try:
            process.stdin.write(json.dumps(self._config()))
            process.stdin.close()
            line = process.stdout.readline()
        finally:
            killer.cancel()
        assert line.strip() == "ready", f"the BMC said {line!r} in {START_DEADLINE_S:.0f} s"

    def kill(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def _config(self) -> dict[str, object]:
        return {
            "node": "n1",
            "domain": "n1",
            "libvirt_uri": f"test://{self.folder}/machine.xml",
            "address": "127.0.0.1",
            "port": self.port,
            "user": USER,
            "password": PASSWORD,
            "audit": str(self.folder / "audit.jsonl"),
            "faults": str(self.folder / "faults.json"),
            "console": str(self.folder / "console.sock"),
            "console_log": str(self.folder / "console.log"),
        }


@contextmanager
def running_bmc(folder: Path) -> Iterator[Bmc]:
    bmc = Bmc(folder)
    try:
        bmc.start()
        yield bmc
    finally:
        bmc.kill()


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
