"""An API and compute hosts, each a process of its own, on racks in memory."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from fixtures.postgres_server import PostgresServer
from provisioner.store import upgrade_store
from tests.wire.cli.conftest import PROVISIONER, Service, _die_with_the_tests, eventually


class Process:
    """One process of the provisioner."""

    def __init__(self, folder: Path, name: str, role: str, settings: dict[str, Any]) -> None:
        self.name = name
        self._config = folder / f"{name}.yaml"
        self._config.write_text(yaml.safe_dump(settings))
        self._role = role
        self._log = folder / f"{name}.log"
        self.running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.running = subprocess.Popen(
                [PROVISIONER, self._role, "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_the_tests,
            )

    def log(self) -> str:
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        assert self.running is not None
        self.running.send_signal(number)

    def wait(self) -> int:
        assert self.running is not None
        return self.running.wait(timeout=60)

    def end(self) -> None:
        if self.running is not None and self.running.poll() is None:
            self.running.send_signal(signal.SIGCONT)
            self.running.kill()
            self.running.wait()


class ControlPlane(Service):
    """The API, to which commands go, and any compute hosts, on one database."""

    def __init__(self, folder: Path, database: str) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        self.database = database
        self._common: dict[str, Any] = {
            **yaml.safe_load(self.config.read_text()),
            "database": database,
            "images_dir": str(folder / "images"),
            "secret_key_file": str(folder / "secret.key"),
        }
        self.config.write_text(yaml.safe_dump(self._common))
        self._stack = ExitStack()
        self.api = self._process("provisioner", "api", self._common)

    def host(self, name: str, *, state: Path | None = None, file: str = "", **changes: Any) -> Process:
        """A compute host that isn't started yet. changes: of the settings of `host`."""
        return self.of_role(name, "compute", state=state, file=file, **changes)

    def of_role(
        self,
        name: str,
        role: str,
        *,
        state: Path | None = None,
        file: str = "",
        others: Mapping[str, Any] = MappingProxyType({}),
        **changes: Any,
    ) -> Process:
        """As `host`, in any role. others: settings that aren't of `host`."""
        own = {"state_dir": str(state or self.folder / name), "host": {"name": name, **changes}}
        return self._process(file or name, role, {**self._common, **own, **others})

    def start(self) -> None:
        self.api.start()
        self.serving = self.api.running
        eventually("the API answers", self._answers)

    def _answers(self) -> bool:
        assert self.api.running is not None
        assert self.api.running.poll() is None, self.api.log()
        return self.socket.exists() and self.cli("host", "list").code == 0

    def hosts(self) -> dict[str, Any]:
        return {host["name"]: host for host in self.json("host", "list")}

    def close(self) -> None:
        self._stack.close()

    def _process(self, name: str, role: str, settings: dict[str, Any]) -> Process:
        made = Process(self.folder, name, role, settings)
        self._stack.callback(made.end)
        return made


@contextmanager
def short_folder() -> Iterator[Path]:
    """The path of a UNIX socket may have 107 bytes (unix(7)), and pytest's folders have longer ones."""
    with tempfile.TemporaryDirectory(prefix="cp") as folder:
        yield Path(folder)


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with short_folder() as folder, PostgresServer(folder) as server:
        yield server


@pytest.fixture
def plane(server: PostgresServer) -> Iterator[ControlPlane]:
    """On PostgreSQL; nothing runs yet."""
    url = server.new_database()
    upgrade_store(url)
    with short_folder() as folder:
        plane = ControlPlane(folder, url)
        try:
            yield plane
        finally:
            plane.close()


@pytest.fixture
def embedded() -> Iterator[ControlPlane]:
    """On SQLite, in the API's state folder; nothing runs yet."""
    with short_folder() as folder:
        (folder / "state").mkdir()
        plane = ControlPlane(folder, f"sqlite:///{folder / 'state' / 'provisioner.db'}")
        try:
            yield plane
        finally:
            plane.close()
