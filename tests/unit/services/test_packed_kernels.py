from __future__ import annotations

import asyncio
import gzip
import os
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.core.model import PublicationKind
from provisioner.drivers.offer_publisher import OfferPublisher
from provisioner.drivers.uboot import make_offer, packing
from provisioner.services.packed_kernels import KEPT, PackedKernels
from tests.unit.drivers.test_uboot import ENTRY
from tests.unit.services.image_store.content import MIB
from tests.unit.services.image_store.test_full_disk import small_disk


def twin(packed: PackedKernels, kernel: Path) -> Path | None:
    return asyncio.run(packed.twin(kernel))


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_kernel_is_packed_once_and_anew_when_it_changes(tmp_path: Path) -> None:
    kernel, packed = tmp_path / "vmlinuz", PackedKernels(tmp_path / "packed")
    kernel.write_bytes(b"kernel" * 10_000)
    first = twin(packed, kernel)
    assert first is not None and gzip.decompress(first.read_bytes()) == kernel.read_bytes()
    made = first.stat().st_ino
    assert twin(packed, kernel) == first and first.stat().st_ino == made
    kernel.write_bytes(b"another" * 10_000)
    second = twin(packed, kernel)
    assert second is not None and gzip.decompress(second.read_bytes()) == kernel.read_bytes()


def test_what_is_packed_already_is_given_as_it_is(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz.gz"
    kernel.write_bytes(gzip.compress(b"kernel"))
    assert twin(PackedKernels(tmp_path / "packed"), kernel) is None


def test_those_used_last_are_kept(tmp_path: Path) -> None:
    packed = PackedKernels(tmp_path / "packed")
    twins = []
    for number in range(KEPT + 2):
        kernel = tmp_path / f"vmlinuz-{number}"
        kernel.write_bytes(bytes([number]) * 100)
        made = twin(packed, kernel)
        assert made is not None
        os.utime(made, (number, number))
        twins.append(made)
    assert [made.exists() for made in twins] == [False] * 2 + [True] * KEPT


def test_one_that_is_offered_is_kept_as_long(tmp_path: Path) -> None:
    """A board fetches it whenever it boots, which may be months after it was offered."""
    packed = PackedKernels(tmp_path / "packed")
    publisher = OfferPublisher([packed], {"uboot": make_offer}, packing(packed.twin))

    async def others() -> None:
        for number in range(KEPT):
            kernel = tmp_path / f"vmlinuz-{number}"
            kernel.write_bytes(os.urandom(100))
            assert await packed.twin(kernel) is not None

    async def story() -> None:
        kernel = tmp_path / "vmlinuz"
        kernel.write_bytes(b"kernel" * 100)
        entry = replace(ENTRY, files={"kernel": kernel, "ramdisk": kernel})
        for node in ("node-1", "node-2"):
            await publisher.publish(replace(entry, node_id=node))
        made = await packed.twin(kernel)
        assert made is not None
        os.utime(made, (0, 0))
        await others()
        await publisher.withdraw("node-1")
        await others()
        assert made.exists(), "node-2 may ask for it"
        await publisher.publish(replace(entry, node_id="node-2", kind=PublicationKind.NOTHING, files={}))
        await others()
        assert not made.exists()

    asyncio.run(story())


def test_a_twin_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut may leave an empty one, which is offered for ever."""
    packed, done, fsync = tmp_path / "packed", list[str](), os.fsync

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path == packed:
            done.append("its name" if any(packed.glob("*.gz")) else "no name yet")
        else:
            assert not any(packed.glob("*.gz"))
            done.append(
                "all of it" if gzip.decompress(path.read_bytes()) == kernel.read_bytes() else "a part"
            )

    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"kernel" * 10_000)
    monkeypatch.setattr(os, "fsync", synced)
    assert twin(PackedKernels(packed), kernel) is not None
    assert done == ["all of it", "its name"]


def test_of_a_twin_whose_making_is_cancelled_nothing_is_left_nor_written_on(tmp_path: Path) -> None:
    kernel, packed = tmp_path / "vmlinuz", PackedKernels(tmp_path / "packed")
    kernel.write_bytes(os.urandom(16 * MIB))

    async def story() -> None:
        making = asyncio.create_task(packed.twin(kernel))
        while not files_in(tmp_path / "packed"):
            await asyncio.sleep(0)
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        assert files_in(tmp_path / "packed") == []
        again = await packed.twin(kernel)
        assert again is not None
        assert gzip.decompress(again.read_bytes()) == kernel.read_bytes()

    asyncio.run(story())


@pytest.mark.wire
def test_without_room_for_a_twin_the_kernel_is_given_as_it_is(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(os.urandom(2 * MIB))
    with small_disk(1) as folder:
        assert twin(PackedKernels(folder / "packed"), kernel) is None
        assert files_in(folder / "packed") == []
