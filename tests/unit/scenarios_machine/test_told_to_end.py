"""A process of the provisioner on a machine that is told to end, by a signal, and does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from scenarios.runner.machine.process import Process
from scenarios.runner.machine.provisioner import Provisioner
from scenarios.runner.stage import LabTrouble

OBEYS = "import signal; print('ready', flush=True); signal.pause()"
AS_RACK_EXEC = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {OBEYS!r}]))"


class Rack:
    """Whatever it is to run, it runs something that ends by a signal, a child of what stands before it."""

    def popen(self, host: str, argv: object, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", AS_RACK_EXEC], **options)


@contextmanager
def one_host(folder: Path, notes: list[tuple[str, str]]) -> Iterator[tuple[Provisioner, Process]]:
    """It runs."""
    provisioner = Provisioner(
        cast(Any, Rack()),
        ("ch1",),
        folder,
        lambda name: {},
        lambda name, host: notes.append((name, host)),
        lambda what, text: None,
    )
    process = provisioner.hosts["ch1"]
    process.start()
    try:
        while "ready" not in process.log():
            assert process.alive
        yield provisioner, process
    finally:
        asyncio.run(process.stop())


@pytest.mark.parametrize("at_once", [False, True])
def test_a_process_that_was_told_to_end_is_not_started_again(tmp_path: Path, *, at_once: bool) -> None:
    notes: list[tuple[str, str]] = []

    async def ends(provisioner: Provisioner, process: Process) -> None:
        managing = asyncio.create_task(provisioner._manage())
        assert process.end(at_once=at_once)
        await provisioner.has_ended("ch1")
        managing.cancel()

    with one_host(tmp_path, notes) as (provisioner, process):
        asyncio.run(ends(provisioner, process))
        assert notes == [("ended", "ch1")]
        assert not process.alive
        assert not process.ended_by_itself
        assert not process.end(at_once=at_once), "it is dead"


def test_one_that_stands_still_has_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenarios.runner.machine.provisioner.STOP_S", 0.5)
    with one_host(tmp_path, []) as (provisioner, process):
        process.freeze()
        assert process.end(at_once=False)
        with pytest.raises(LabTrouble, match="ch1 was told to end, and hasn't"):
            asyncio.run(provisioner.has_ended("ch1"))
