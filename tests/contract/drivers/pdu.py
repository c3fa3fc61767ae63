"""A PDU over the wire: bmsim's, in a process of its own."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bmsim import audit
from tests.contract.drivers.device_process import START_DEADLINE_S, DeviceProcess
from tests.ports import free_port

READ, WRITE = "look-only", "open-sesame"
USER, AUTH_KEY, PRIV_KEY = "operator", "authentication-key", "privacy-key-privacy"
PASSWORD = "correct-horse"

V3 = {"version": "3", "user": USER}
KEYS = {"auth_key": AUTH_KEY, "priv_key": PRIV_KEY}


class Pdu(DeviceProcess):
    """A PDU that can be killed and started again. Its outlets feed n1, n2 and so on."""

    module = "bmsim.faces.pdu_process"

    def __init__(self, folder: Path, family: str, outlets: int = 4, **more: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.family = family
        self.port, self.http_port, self.console_port = (free_port() for _ in range(3))
        self.outlets = outlets
        self._more = more

    @property
    def address(self) -> dict[str, object]:
        """A node's power, but for outlets and secrets."""
        return {"address": "127.0.0.1", "port": self.port, "family": self.family}

    def faults(self, faults: Mapping[str, Mapping[str, object]], node: str = "n1") -> None:
        """From now on it behaves so to this node's outlet."""
        new = self.folder / f"{node}.new"
        new.write_text(json.dumps(faults))
        new.replace(self.folder / f"{node}.json")

    def ask(self, **order: object) -> dict[str, Any]:
        """By the rack's own socket, past all faults."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(START_DEADLINE_S)
            connection.connect(str(self.folder / "s"))
            connection.sendall(json.dumps(order).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer: dict[str, Any] = json.loads(lines.readline())
        return answer

    def state(self, outlet: int) -> str:
        return str(self.ask(do="show")["outlets"][outlet - 1]["state"])

    def fed(self, outlet: int) -> bool:
        return bool(self.ask(do="show")["outlets"][outlet - 1]["fed"])

    def received(self) -> list[audit.Entry]:
        return list(audit.read(self.folder / "audit.jsonl"))

    def _config(self) -> dict[str, object]:
        numbers = range(1, self.outlets + 1)
        snmp = {"port": self.port, "read_community": READ, "community": WRITE, "user": USER, **KEYS}
        return {
            "name": "pdu1",
            "family": self.family,
            "address": "127.0.0.1",
            "ports": {"http": self.http_port, "console": self.console_port},
            "password": PASSWORD,
            "outlets": {str(number): True for number in numbers},
            "unit_outlets": self.outlets,
            "cables": {
                str(number): {"node": f"n{number}", "feed": 0, "faults": str(self.folder / f"n{number}.json")}
                for number in numbers
            },
            "audit": str(self.folder / "audit.jsonl"),
            "memory": str(self.folder / "relays.json"),
            "socket": str(self.folder / "s"),
            "snmp": {**snmp, **self._more.pop("snmp", {})},
            **self._more,
        }


@contextmanager
def running_pdu(folder: Path, family: str = "apc_rackpdu", outlets: int = 4, **more: Any) -> Iterator[Pdu]:
    pdu = Pdu(folder, family, outlets, **more)
    try:
        pdu.start()
        yield pdu
    finally:
        pdu.kill()
