"""A `provisioner serve` of its own process, on a rack in memory, and the command line to it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import pytest
import yaml

from provisioner.cli import main

T = TypeVar("T")
PROVISIONER = str(Path(sys.executable).parent / "provisioner")
DEADLINE_S = 60.0
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def _die_with_the_tests() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def eventually(what: str, look: Callable[[], T | None]) -> T:
    """Polls until `look` gives something true; fails naming `what`."""
    end = time.monotonic() + DEADLINE_S
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"not within {DEADLINE_S:.0f} s: {what}"
        time.sleep(0.05)


@dataclass
class Result:
    code: int
    out: str
    err: str


SETTINGS: dict[str, Any] = {
    "rack": "fake",
    "host": {"name": "here"},
    "network": {
        "interface": "lo",
        "address": "127.0.0.1",
        "subnet": "10.0.0.0/16",
        "pool": "10.0.1.0-10.0.1.255",
        "http_port": 0,
        "serve_dhcp": False,
    },
}
"""Nodes in memory, nothing on the network but the API."""


class Service:
    """folder: short, since the path of a UNIX socket may have 107 bytes (unix(7))."""

    def __init__(self, folder: Path, settings: dict[str, Any] | None = None) -> None:
        """settings: others than SETTINGS; where it keeps and hears things is always its own."""
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "provisioner.yaml"
        self.socket = folder / "api.sock"
        own = {
            "state_dir": str(self.state),
            "api": {"listen": "127.0.0.1:0", "socket": str(self.socket)},
        }
        self.config.write_text(yaml.safe_dump({**(settings or SETTINGS), **own}))
        self.serving: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it is ready."""
        log = (self.folder / "serve.log").open("ab")
        with log:
            self.serving = subprocess.Popen(
                [PROVISIONER, "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_the_tests,
            )
        eventually("the provisioner answers", self._answers)

    def _answers(self) -> bool:
        assert self.serving is not None
        assert self.serving.poll() is None, (self.folder / "serve.log").read_text()
        return self.socket.exists() and self.cli("host", "list").code == 0

    def end(self, number: signal.Signals) -> int:
        assert self.serving is not None
        self.serving.send_signal(number)
        return self.serving.wait(timeout=30)

    def argv(self, *words: str) -> list[str]:
        return [PROVISIONER, *words]

    @property
    def environment(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PROVISIONER_") and k != "COLUMNS"}
        # Where a configuration says where the API is, nothing else has to.
        return {**clean, "PROVISIONER_CONFIG": str(self.config)}

    def cli(self, *words: str) -> Result:
        """The command as `main` has it, in this process: an interpreter takes longer to start than most
        commands do to end."""
        out, err, code = StringIO(), StringIO(), 0
        with (
            mock.patch.dict(os.environ, self.environment, clear=True),
            mock.patch.object(sys, "argv", self.argv(*words)),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Result(code, out.getvalue(), err.getvalue())

    def process(self, *words: str) -> subprocess.Popen[str]:
        """The command as a process of its own, its output in pipes."""
        return subprocess.Popen(
            self.argv(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            preexec_fn=_die_with_the_tests,
        )

    def json(self, *words: str) -> Any:
        done = self.cli(*words, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    def refused(self, code: int, *words: str) -> str:
        """What is told when the command is refused, which is to be one paragraph on standard error."""
        done = self.cli(*words)
        assert done.code == code, (done.code, done.out, done.err)
        assert "Traceback" not in done.err
        return done.err

    def enrol(self, *names: str) -> None:
        """Nodes of these names; returns when they may be given to instances, or were."""
        used = len(self.json("node", "list"))
        nodes = [
            {
                "name": name,
                "arch": "x86_64",
                "vcpus": 2,
                "memory_mib": 1024,
                "disk_mib": 4096,
                "ports": [{"mac": f"52:54:00:00:00:{number:02x}"}],
                "power": {"driver": "fake"},
            }
            for number, name in enumerate(names, start=used)
        ]
        path = self.folder / "nodes.yaml"
        path.write_text(yaml.safe_dump({"nodes": nodes}))
        made = self.json("node", "enroll", "-f", str(path), "--wait")
        assert not {node["state"] for node in made} & {"enrolling", "enrol_failed"}

    def register_images(self) -> None:
        """`root`, with its kernel and ramdisk."""
        file = self.folder / "part"
        for kind in ("kernel", "ramdisk"):
            file.write_bytes(kind.encode() * 512)
            self.json("image", "register", kind, "--kind", kind, "--file", str(file))
        file.write_bytes(bytes(2**20))
        words = ("--kernel", "kernel", "--ramdisk", "ramdisk", "--file", str(file))
        self.json("image", "register", "root", "--kind", "root", *words)


@contextmanager
def watched(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Ended in any case, and in time: whoever reads from it then reads its end."""
    killer = threading.Timer(DEADLINE_S, process.kill)
    killer.start()
    try:
        yield process
    finally:
        killer.cancel()
        process.kill()
        process.wait()


@contextmanager
def serving(folder: Path, settings: dict[str, Any] | None = None) -> Iterator[Service]:
    service = Service(folder, settings)
    service.start()
    try:
        yield service
    finally:
        assert service.serving is not None
        if service.serving.poll() is None:
            assert service.end(signal.SIGTERM) == 0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for all tests that leave it as it was, with the nodes n1 and n2 and the image `root`."""
    with serving(tmp_path_factory.mktemp("p")) as service:
        service.enrol("n1", "n2")
        service.register_images()
        service.json("flavor", "create", "huge", "--cpus", "999")
        yield service


@pytest.fixture
def own_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for a test that ends it."""
    with serving(tmp_path_factory.mktemp("p")) as service:
        yield service
