from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provisioner.core.errors import PermanentError, StorageFull
from provisioner.services.children import SystemChildren
from provisioner.services.image_store import ImageStore
from provisioner.services.qemu_img import QemuImg
from tests.unit.services.image_store.content import MIB, disk, files, qcow2, save

pytestmark = pytest.mark.wire


@contextmanager
def small_disk(size_mib: int) -> Iterator[Path]:
    """A tmpfs in a mount namespace of its own, seen through /proc; gone with its process."""
    script = f"mount -t tmpfs -o size={size_mib}m none /mnt && echo ready && exec sleep infinity"
    command = ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == "ready\n"
            yield Path(f"/proc/{holder.pid}/root/mnt")
        finally:
            holder.kill()


@pytest.mark.parametrize("reserve_bytes", [0, 4 * MIB])
def test_a_full_disk_tells_what_is_needed_and_free_and_nothing_is_left(reserve_bytes: int) -> None:
    with small_disk(16) as folder:
        store = ImageStore(folder / "images", reserve_bytes=reserve_bytes)
        with pytest.raises(StorageFull, match=r"\d+ bytes more are needed, \d+ are free.*[Dd]elete images"):
            asyncio.run(save(store, b"\xaa" * (24 * MIB)))
        assert files(folder) == []
        asyncio.run(save(store, disk(8)))


def test_a_disk_that_fills_up_in_mid_write_is_told_too() -> None:
    with small_disk(16) as folder:
        store = ImageStore(folder / "images", reserve_bytes=-(2**40))  # so that only the kernel objects
        with pytest.raises(StorageFull, match="No space left on device, 0 bytes are free"):
            asyncio.run(save(store, b"\xaa" * (24 * MIB)))
        assert files(folder) == []


def test_a_qcow2_whose_content_does_not_fit_for_its_examination_is_told(tmp_path: Path) -> None:
    content = qcow2(tmp_path, b"\xaa" * (24 * MIB), "-c")
    assert len(content) < 2 * MIB
    with small_disk(16) as folder:
        for reserve_bytes in (0, -(2**40)):
            store = ImageStore(folder / "images", reserve_bytes=reserve_bytes)
            with pytest.raises(StorageFull):
                asyncio.run(save(store, content, format="qcow2"))
            assert files(folder) == []


@pytest.mark.parametrize("said", ["No space left on device", "Disk quota exceeded"])
def test_a_conversion_that_finds_no_room_says_nothing_of_the_image(said: str, tmp_path: Path) -> None:
    program = tmp_path / "full-qemu-img"
    program.write_text(f"#!/bin/sh\necho 'error while writing at byte 4096: {said}' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(StorageFull, match=f"convert: {said.lower()}. Delete images, or make room"):
        asyncio.run(QemuImg(SystemChildren(), str(program)).to_raw(tmp_path, "raw", tmp_path, 10))


def test_a_conversion_that_takes_too_long_says_nothing_of_the_image(tmp_path: Path) -> None:
    program = tmp_path / "slow-qemu-img"
    program.write_text("#!/bin/sh\nexec sleep infinity\n")
    program.chmod(0o755)
    with pytest.raises(PermanentError, match=r"not done with the image after 0 s\. Look at the disk"):
        asyncio.run(QemuImg(SystemChildren(), str(program)).to_raw(tmp_path, "raw", tmp_path, 0.2))
