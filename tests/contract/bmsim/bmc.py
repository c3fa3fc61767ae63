"""A BMC in its own process on loopback, over libvirt's test driver, and the clients that it is held to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmsim.audit import Entry, read
from tests.ports import free_port

USER, PASSWORD = "admin", "correct-horse"

DEADLINE_S = 60.0
"""For anything that happens at once on an idle machine."""

TEST_HOST = """<node>
  <domain type="test"><name>m1</name><memory>65536</memory>
    <os><type>hvm</type><boot dev="hd"/><boot dev="network"/></os></domain>
</node>"""
"""A host of libvirt's test driver: the machine runs at first, as all of that driver do."""


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    out: str
    err: str


@dataclass(slots=True)
class Bmc:
    folder: Path
    address: str
    port: int
    process: subprocess.Popen[str]

    def ipmitool(
        self, *words: str, user: str = USER, password: str = PASSWORD, suite: int | None = 3
    ) -> Answer:
        """suite: None for what ipmitool chooses from those that the BMC lists."""
        done = subprocess.run(
            [*self.ipmitool_command(user=user, suite=suite), *words],
            env=os.environ | {"IPMI_PASSWORD": password},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def ipmitool_command(self, *, user: str = USER, suite: int | None = 3) -> list[str]:
        # Three tries, 5 s apart: one that stands still isn't one that is silent, which is found out in time.
        return [
            *("ipmitool", "-I", "lanplus", "-H", self.address, "-p", str(self.port), "-U", user, "-E"),
            *("-N", "5", "-R", "3", "-v", *([] if suite is None else ["-C", str(suite)])),
        ]

    def power(self, verb: str) -> Answer:
        return self.ipmitool("power", verb)

    def is_on(self) -> bool:
        answer = self.power("status")
        assert answer.code == 0, answer
        return "is on" in answer.out

    def faults(self, given: dict[str, Any]) -> None:
        """As a rack does it: renamed into place."""
        fresh = self.folder / "faults.new"
        fresh.write_text(json.dumps(given))
        fresh.replace(self.folder / "faults.json")

    def entries(self, command: str) -> list[Entry]:
        return [entry for entry in read(self.folder / "audit.jsonl") if entry.command == command]

    def renew(self) -> None:
        """Healed, its machine on, no boot device set, its logs empty."""
        (self.folder / "faults.json").unlink(missing_ok=True)
        (self.folder / "renew").write_text("power on\nraw 0x00 0x08 0x05 0 0 0 0 0\n")
        done = self.ipmitool("exec", str(self.folder / "renew"))  # in one session
        assert done.code == 0, done
        for log in ("audit.jsonl", "stderr"):
            os.truncate(self.folder / log, 0)

    @property
    def errors(self) -> str:
        return (self.folder / "stderr").read_text()

    def console_says(self, text: bytes) -> None:
        with (self.folder / "console.log").open("ab") as log:
            log.write(text)


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Polls until it holds; raises AssertionError when it takes too long."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.02)


@contextmanager
def running_bmc(folder: Path, address: str = "127.0.0.1", port: int = 0) -> Iterator[Bmc]:
    """port: 0 for any."""
    folder.mkdir(exist_ok=True)
    host = folder / "host.xml"
    host.write_text(TEST_HOST)
    (folder / "console.log").touch()
    port = port or free_port()
    given = {
        "node": "n1",
        "domain": "m1",
        "libvirt_uri": f"test://{host}",
        "address": address,
        "port": port,
        "user": USER,
        "password": PASSWORD,
        "audit": str(folder / "audit.jsonl"),
        "faults": str(folder / "faults.json"),
        "console": str(folder / "console.sock"),
        "console_log": str(folder / "console.log"),
    }
    with (folder / "stderr").open("a") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "bmsim.faces.bmc_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(given))
        process.stdin.close()
        assert process.stdout.readline() == "ready\n", (folder / "stderr").read_text()
        yield Bmc(folder, address, port, process)
    finally:
        process.terminate()
        process.wait(DEADLINE_S)
        if process.stdout is not None:
            process.stdout.close()
