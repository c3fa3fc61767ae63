"""A program that was ended by a signal has said nothing of what it worked on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from subprocess import DEVNULL

import pytest

from provisioner.core.errors import ImageInvalid, TransientError
from provisioner.core.image_digest import TreeDigest
from provisioner.drivers.image_writer import _error
from provisioner.protocols.children import Argument, Child, ChildResult
from provisioner.services.exportfs import ExportfsService
from provisioner.services.qemu_img import QemuImg
from provisioner.services.root_folders import MountedRootFolders
from tests.unit.fakes import JumpingClock

BYTES = 4096


class Killed:
    """`protocols.children.Children`: of all programs, `program` is ended by a signal."""

    def __init__(self, program: str, number: int = signal.SIGKILL) -> None:
        self._program = program
        self._number = number

    async def run(
        self,
        argv: Sequence[Argument],
        *,
        timeout_s: float,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> ChildResult:
        if self._program in argv:
            return ChildResult(-self._number, "", "")
        if on_stdout:
            on_stdout(b'{"virtual-size": %d}' % BYTES)
        return ChildResult(0, "", "")

    def started(
        self, argv: Sequence[Argument], *, stdin: int = DEVNULL
    ) -> AbstractAsyncContextManager[Child]:
        raise NotImplementedError


def test_an_image_at_which_qemu_img_was_killed_is_not_told_to_be_invalid(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="qemu-img info: its program was ended by signal 9"):
        asyncio.run(QemuImg(Killed("qemu-img")).virtual_size_bytes(tmp_path, "qcow2"))


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGXCPU])
def test_an_image_that_makes_qemu_img_fall_is_told_to_be_invalid(number: int, tmp_path: Path) -> None:
    with pytest.raises(ImageInvalid, match=f"ended by signal {number}"):
        asyncio.run(QemuImg(Killed("qemu-img", number)).virtual_size_bytes(tmp_path, "qcow2"))


@pytest.mark.parametrize("program", ["qemu-img", "unshare"])
def test_a_root_may_be_made_again_whose_making_was_killed(program: str, tmp_path: Path) -> None:
    image, digest = tmp_path / ("5" * 64), TreeDigest()
    digest.update(bytes(BYTES))
    roots = MountedRootFolders(tmp_path / "roots", Killed(program), str, "ch1")
    making = roots.make("node-1.1.a", image, format="raw", digest=digest.hexdigest(), files={})
    with pytest.raises(TransientError, match="ended by signal 9"):
        asyncio.run(making)


def test_an_export_may_be_made_again_whose_exportfs_was_killed(tmp_path: Path) -> None:
    async def story() -> None:
        versions = tmp_path / "versions"
        versions.write_text("+4.2\n")
        async with ExportfsService(Killed("exportfs"), tmp_path, JumpingClock(), versions=versions):
            pass

    with pytest.raises(TransientError, match=r"table of exports on .*: its program was ended by signal 9"):
        asyncio.run(story())


def test_a_write_that_was_killed_says_so_whatever_qemu_img_had_complained_of() -> None:
    error = _error("disk", "qemu-img: Could not open 'image.qcow2'", -signal.SIGKILL)
    assert isinstance(error, TransientError) and "ended by signal 9" in error.message
