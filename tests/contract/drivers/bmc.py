"""A BMC over the wire: bmsim's, in a process of its own, in front of libvirt's test machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.contract.drivers.device_process import DeviceProcess
from tests.ports import free_port

USER, PASSWORD = "admin", "correct horse"

MACHINE = """<node><domain type='test'><name>n1</name><memory>65536</memory><vcpu>1</vcpu>
<os><type>hvm</type><boot dev='network'/></os></domain></node>"""


class Bmc(DeviceProcess):
    """A BMC that can be killed and started again."""

    module = "bmsim.faces.bmc_process"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
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
