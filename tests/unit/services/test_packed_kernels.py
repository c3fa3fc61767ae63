from __future__ import annotations

import asyncio
import gzip
import os
from pathlib import Path

import pytest

from provisioner.services.packed_kernels import KEPT, PackedKernels
from tests.unit.services.image_store.content import MIB
from tests.unit.services.image_store.test_full_disk import small_disk


def twin(packed: PackedKernels, kernel: Path) -> Path | None:
    return asyncio.run(packed.twin(kernel))


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


@pytest.mark.wire
def test_without_room_for_a_twin_the_kernel_is_given_as_it_is(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(os.urandom(2 * MIB))
    with small_disk(1) as folder:
        assert twin(PackedKernels(folder / "packed"), kernel) is None
        assert not list((folder / "packed").iterdir())
