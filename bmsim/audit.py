"""The audit log: what the devices of a rack received, one JSON object a line, in order of arrival.

Invariants are judged from it, never from what a provisioner says of itself.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLLOW_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """t: seconds since 1970. sender: address:port. result: "ok", or a code with its meaning."""

    t: float
    node: str
    device: str
    sender: str
    command: str
    result: str
    args: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def to_line(self) -> str:
        when = datetime.fromtimestamp(self.t, UTC).strftime("%H:%M:%S.%f")[:-3]
        arguments = " ".join(f"{key}={value}" for key, value in self.args.items())
        what = f"{self.command} {arguments}".strip()
        return f"{when}  {self.node:8} {self.device:5} {self.sender:22} {what} → {self.result}"


class AuditLog:
    """Appends; several processes may, since each line is one write with O_APPEND."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, entry: Entry) -> None:
        os.write(self._fd, entry.to_json().encode() + b"\n")


def read(path: Path) -> Iterator[Entry]:
    """All entries; none while there is no log yet."""
    if not path.exists():
        return
    with path.open() as lines:
        for line in lines:
            if line.endswith("\n"):
                yield Entry(**json.loads(line))


def follow(path: Path, goes_on: Callable[[], bool]) -> Iterator[Entry]:
    """All entries, and then those that come, for as long as some may come."""
    position, rest, more = 0, b"", True
    while more:
        more = goes_on()
        with suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(position)
            data = file.read()
            position += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield Entry(**json.loads(line))
        if more:
            time.sleep(FOLLOW_POLL_S)
