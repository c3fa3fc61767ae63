from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from errno import EBADF
from pathlib import Path
from typing import Any

import pytest

from provisioner.services.image_store import ImageStore
from tests.unit.services.image_store.content import disk, files, qcow2, save

ROOT = Path(__file__).parents[4]

SAVES_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from provisioner.core.model import ImageKind
from provisioner.services.image_store import ImageStore

async def chunks():
    for _ in range(3):
        yield bytes(4 * 2**20)
    print("saving", flush=True)
    await asyncio.Event().wait()

asyncio.run(ImageStore(Path(sys.argv[1])).save(
    chunks(), format="raw", kind=ImageKind.DISK, expected_sha256=None, max_bytes=2**30))
"""


def test_drafts_of_the_dead_are_removed_at_start_and_those_of_the_living_kept(root: Path) -> None:
    command = [sys.executable, "-c", SAVES_FOR_EVER, str(root)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == "saving\n"
            ImageStore(root)
            assert len(files(root)) == 1
        finally:
            child.send_signal(signal.SIGKILL)
    assert len(files(root)) == 1
    ImageStore(root)
    assert files(root) == []


def test_drafts_of_the_dead_are_removed_on_nfs_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an exclusive lock is had alone for what is open for writing: flock(2), "NFS details"."""
    of_the_kernel = fcntl.flock

    def of_nfs(file: Any, operation: int) -> None:
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(EBADF, os.strerror(EBADF))
        of_the_kernel(file, operation)

    ImageStore(root)
    (root / "drafts" / "of-the-dead").touch()
    monkeypatch.setattr(fcntl, "flock", of_nfs)
    ImageStore(root)
    assert files(root) == []


def test_a_conversion_does_not_outlive_its_caller(root: Path, tmp_path: Path) -> None:
    # qemu-img that tells its process id and then takes for ever.
    program = tmp_path / "slow-qemu-img"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep infinity\n")
    program.chmod(0o755)
    content = qcow2(tmp_path, disk())

    async def story() -> int:
        saving = asyncio.create_task(save(ImageStore(root, str(program)), content, format="qcow2"))
        async with asyncio.timeout(20):
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
                await asyncio.sleep(0.01)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        return int((tmp_path / "pid").read_text())

    pid = asyncio.run(story())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert files(root) == []


CONVERTS_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from provisioner.core.model import ImageKind
from provisioner.services.image_store import ImageStore

root, program, source = sys.argv[1:]
asyncio.run(ImageStore(Path(root), program).fetch(
    f"file://{source}", format="qcow2", kind=ImageKind.DISK, expected_sha256=None, max_bytes=2**30))
"""


def test_a_conversion_dies_with_a_process_that_is_killed(root: Path, tmp_path: Path) -> None:
    # qemu-img that holds a pipe open as long as it lives.
    program, lives = tmp_path / "slow-qemu-img", tmp_path / "lives"
    qcow2(tmp_path, disk())
    command = [sys.executable, "-c", CONVERTS_FOR_EVER, *map(str, (root, program, tmp_path / "made.qcow2"))]
    program.write_text(f"#!/bin/sh\nexec 9> {lives}\necho x >&9\nexec sleep infinity\n")
    program.chmod(0o755)
    os.mkfifo(lives)
    with subprocess.Popen(command, cwd=ROOT) as child, lives.open("rb", buffering=0) as pipe:
        assert pipe.read(2) == b"x\n"
        child.send_signal(signal.SIGKILL)
        assert pipe.read(1) == b"", "the pipe ends when nobody holds it any more"
