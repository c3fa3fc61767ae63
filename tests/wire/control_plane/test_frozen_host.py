"""How the lab freezes a compute host: alone, or with its lease guard killed before."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from bmsim.api import RunningRack
from scenarios.runner.machine.process import Process, guards_of
from tests.wire.cli.conftest import eventually
from tests.wire.control_plane.conftest import ControlPlane

pytestmark = pytest.mark.wire


STANDS_BEFORE = """trap 'kill "$child"' TERM; "$0" "$@" & child=$!; wait "$child"; wait "$child" """


class Here:
    """As a rack, whose own process stands before each that it runs."""

    def popen(self, host: str, argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sh", "-c", STANDS_BEFORE, *argv], **options)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(pid: int) -> str:
    """proc(5): T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_host_is_frozen_without_its_guard_and_starts_another_when_it_goes_on(plane: ControlPlane) -> None:
    plane.start()
    settings = {**yaml.safe_load(plane.config.read_text()), "host": {"name": "a"}}
    del settings["state_dir"]
    host = Process(cast(RunningRack, Here()), "a", "compute", plane.folder, settings)
    host.start()
    try:
        eventually("a has its lease", lambda: "a" in plane.hosts())
        assert host._process is not None
        (provisioner,) = children(host._process.pid)
        (guard,) = guards_of(provisioner)
        host.freeze(unguarded=True)
        eventually("its guard has ended", lambda: guard not in guards_of(provisioner))
        eventually("it stands still", lambda: state(provisioner) == "T")
        host.thaw()
        eventually("another guard runs", lambda: guards_of(provisioner))
    finally:
        asyncio.run(host.stop())
    assert not Path(f"/proc/{provisioner}").exists()
