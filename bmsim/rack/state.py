"""A rack's state folder: everything that a rack keeps outside its namespaces."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr, ValidationError

from bmsim.rack.errors import GONE, RackError
from bmsim.rack.spec import Rack

_SHADOWED = ("/run", "/var/lib/libvirt", "/var/log", "/etc/libvirt", "/var/cache/libvirt")
"""Folders that a rack covers with its own: a state folder below one of them would vanish inside."""


def racks_folder() -> Path:
    """Where racks keep their state unless told otherwise."""
    given = os.environ.get("BMSIM_STATE")
    if given:
        return Path(given).absolute()
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(base) / "bmsim" / "racks"


@dataclass(frozen=True, slots=True)
class RackState:
    """Paths of one rack, and what stands in them."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def spec_file(self) -> Path:
        return self.folder / "rack.json"

    @property
    def process_file(self) -> Path:
        return self.folder / "supervisor.json"

    @property
    def log_file(self) -> Path:
        return self.folder / "supervisor.log"

    @property
    def audit_file(self) -> Path:
        return self.folder / "audit.jsonl"

    @property
    def control_socket(self) -> Path:
        return self.folder / "control.sock"

    def node_folder(self, node: str) -> Path:
        return self.folder / "nodes" / node

    def console_log(self, node: str) -> Path:
        return self.node_folder(node) / "console.log"

    def console_socket(self, node: str) -> Path:
        return self.node_folder(node) / "console.sock"

    def faults_file(self, target: str) -> Path:
        """target: a node or a compute host."""
        return self.folder / "faults" / f"{target}.json"

    def pdu_folder(self, pdu: str) -> Path:
        return self.folder / "pdus" / pdu

    def pdu_socket(self, pdu: str) -> Path:
        return self.pdu_folder(pdu) / "pdu.sock"

    def create(self, rack: Rack) -> None:
        """Makes the folder, readable by its owner alone: the rack's passwords stand in it."""
        for shadowed in _SHADOWED:
            if self.folder.is_relative_to(shadowed):
                raise RackError(
                    f"the state folder {self.folder} is below {shadowed}, which racks cover", code=2
                )
        # The longest socket path that Linux takes is 107 bytes (unix(7)).
        sockets = [self.console_socket(node.name) for node in rack.nodes]
        sockets += [self.pdu_socket(pdu.name) for pdu in rack.pdus]
        longest = max(len(os.fsencode(path)) for path in sockets)
        if longest > 107:
            raise RackError(
                f"the path of the state folder {self.folder} is {longest - 107} bytes too long", code=2
            )
        self.folder.mkdir(parents=True, mode=0o700)
        (self.folder / "faults").mkdir()
        for node in rack.nodes:
            self.node_folder(node.name).mkdir(parents=True)
        for pdu in rack.pdus:
            self.pdu_folder(pdu.name).mkdir(parents=True)
        self.spec_file.touch(mode=0o600)
        self.spec_file.write_text(_with_passwords(rack))

    def rack(self) -> Rack:
        """What it was brought up from. Raises RackError when it is gone, or can't be read."""
        try:
            return Rack.model_validate_json(self.spec_file.read_text())
        except FileNotFoundError as error:
            raise RackError(f"rack {self.name} is gone", code=GONE) from error
        except ValidationError as error:
            # Not the error itself: it shows what it read, and passwords stand there.
            fields = ", ".join(".".join(map(str, one["loc"])) or "all of it" for one in error.errors())
            raise RackError(
                f"rack {self.name}: {self.spec_file} isn't as this bmsim writes it ({fields}); take the "
                f"rack down, which doesn't read it: bmsim rack down {self.name}",
                code=4,
            ) from None

    def is_up(self) -> bool:
        return self.supervisor() is not None

    def supervisor(self) -> int | None:
        """Process id of the rack's first process as this system sees it, None when it is dead."""
        try:
            known = json.loads(self.process_file.read_text())
        except (OSError, ValueError):
            return None
        return known["pid"] if start_time(known["pid"]) == known["start_time"] else None

    def note_supervisor(self, pid: int) -> None:
        self.process_file.write_text(json.dumps({"pid": pid, "start_time": start_time(pid)}))

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def start_time(pid: int) -> int | None:
    """When the process started, in the kernel's ticks: tells it from a later one with the same id."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds off everybody else who would change what is in this folder: a rack seen half made looks like a
    dead one, whose remains may be removed. Makes the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def all_racks(folder: Path) -> Iterator[RackState]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / "rack.json").exists():
            yield RackState(path)


def find_rack(folder: Path, name: str | None) -> RackState:
    """The rack of that name, or the only one. Raises RackError."""
    known = list(all_racks(folder))
    if name is not None:
        for state in known:
            if state.name == name:
                return state
        there = ", ".join(state.name for state in known) or "none"
        raise RackError(f"there is no rack {name} (racks here: {there})", code=3)
    if len(known) == 1:
        return known[0]
    if not known:
        raise RackError("no rack is up; start one by: bmsim rack up FILE", code=3)
    raise RackError(f"several racks are here, name one: {', '.join(state.name for state in known)}", code=2)


def _with_passwords(rack: Rack) -> str:
    def plain(value: object) -> str:
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)

    return json.dumps(rack.model_dump(), default=plain)
