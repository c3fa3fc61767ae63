from __future__ import annotations

import asyncio
import gzip
import hashlib
import random
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest

from provisioner.core.errors import ImageInvalid
from provisioner.core.model import ImageKind
from provisioner.services.image_store import ImageStore
from tests.unit.services.image_store.content import MIB, disk, files, qcow2, save


def test_a_wrong_checksum_names_both_and_stores_nothing(store: ImageStore, root: Path) -> None:
    raw = disk()
    with pytest.raises(ImageInvalid) as raised:
        asyncio.run(save(store, raw, expected_sha256="0" * 64))
    assert hashlib.sha256(raw).hexdigest() in raised.value.answer
    assert "0" * 64 in raised.value.answer
    assert files(root) == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("-u", "-b", "/etc/passwd", "-F", "raw"), "backing file"),
        (("-o", "data_file=data"), "another file"),
    ],
)
def test_qcow2_that_is_not_whole_in_itself_is_refused(
    store: ImageStore, root: Path, tmp_path: Path, options: tuple[str, ...], complaint: str
) -> None:
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *options, "made.qcow2", "8M"]
    subprocess.run(command, check=True, cwd=tmp_path)
    with pytest.raises(ImageInvalid, match=complaint):
        asyncio.run(save(store, (tmp_path / "made.qcow2").read_bytes(), format="qcow2"))
    assert files(root) == []


def damaged(folder: Path, how: str) -> tuple[bytes, str]:
    packed = qcow2(folder, disk())
    match how:
        case "raw named qcow2":
            return disk(), "qcow2"
        case "qcow2 named raw":
            return packed, "raw"
        case "packed":
            return b"\xfd7zXZ\0" + packed, "qcow2"
        case "cut qcow2":
            return packed[: len(packed) // 2], "qcow2"
        case "cut raw":
            return disk()[:-100], "raw"
        case "tables overwritten":
            return packed[:65_536] + random.Random(1).randbytes(3 * 65_536) + packed[4 * 65_536 :], "qcow2"
        case _:
            return b"", "raw"


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("raw named qcow2", "no qcow2 header"),
        ("qcow2 named raw", "it is qcow2"),
        ("packed", "compressed with xz"),
        ("cut qcow2", "cut off after|qemu-img check"),
        ("cut raw", "whole sectors"),
        ("tables overwritten", "qemu-img"),
        ("nothing", "empty"),
    ],
)
def test_bytes_that_are_not_what_they_are_said_to_be_are_refused(
    store: ImageStore, root: Path, tmp_path: Path, how: str, complaint: str
) -> None:
    content, format = damaged(tmp_path, how)
    with pytest.raises(ImageInvalid, match=complaint) as refused:
        asyncio.run(save(store, content, format=format))
    assert refused.value.advice
    assert files(root) == []


def kernel(at: int, magic: bytes) -> bytes:
    return bytes(at) + magic + bytes(4096)


def elf(machine: int, *, order: Literal["little", "big"] = "little") -> bytes:
    ident = b"\x7fELF\1" + (b"\1" if order == "little" else b"\2") + bytes(10)
    return ident + (2).to_bytes(2, order) + machine.to_bytes(2, order) + bytes(4096)


ARM64, BZIMAGE = kernel(0x38, b"ARMd"), kernel(0x202, b"HdrS")


@pytest.mark.parametrize(
    ("content", "arch", "found"),
    [
        (BZIMAGE, "arm64", "x86_64"),
        (gzip.compress(BZIMAGE, mtime=0), "arm64", "x86_64"),
        (ARM64, "x86_64", "arm64"),
        (gzip.compress(ARM64 + bytes(MIB), mtime=0), "armhf", "arm64"),
        (kernel(0x24, bytes.fromhex("18286f01")), "arm64", "armhf"),
        (elf(62), "tilepro64", "x86_64"),
        (elf(183, order="big"), "x86_64", "arm64"),
    ],
)
def test_a_kernel_of_another_architecture_is_refused_by_its_name(
    store: ImageStore, root: Path, content: bytes, arch: str, found: str
) -> None:
    told = f"it is a kernel for {found}, and was registered for {arch}"
    with pytest.raises(ImageInvalid, match=told) as refused:
        asyncio.run(save(store, content, kind=ImageKind.KERNEL, arch=arch))
    assert refused.value.advice
    assert files(root) == []
    asyncio.run(save(store, content, kind=ImageKind.KERNEL, arch=found))


@pytest.mark.parametrize(
    "content",
    [b"k", b"\x7fELF", elf(0xFFFF), b"\x1f\x8b", gzip.compress(b"kernel", mtime=0), b"\x1f\x8b" * 99],
)
def test_a_kernel_that_does_not_tell_what_it_is_for_is_taken(store: ImageStore, content: bytes) -> None:
    asyncio.run(save(store, content, kind=ImageKind.KERNEL, arch="arm64"))


def test_a_whole_disk_is_not_looked_into_for_its_architecture(store: ImageStore) -> None:
    asyncio.run(save(store, BZIMAGE[:4096], kind=ImageKind.DISK, arch="arm64"))


def test_a_stream_that_ends_early_is_refused(store: ImageStore, root: Path) -> None:
    with pytest.raises(ImageInvalid, match=r"cut off after 1048576 of 2097152 bytes"):
        asyncio.run(save(store, bytes(MIB), size_bytes=2 * MIB))
    assert files(root) == []


@pytest.mark.parametrize("size_bytes", [None, 3 * MIB])
def test_more_than_the_limit_is_refused(store: ImageStore, root: Path, size_bytes: int | None) -> None:
    with pytest.raises(ImageInvalid, match="larger than 2097152 bytes"):
        asyncio.run(save(store, bytes(3 * MIB), max_bytes=2 * MIB, size_bytes=size_bytes))
    assert files(root) == []


@pytest.mark.parametrize("error", [ConnectionResetError(), asyncio.CancelledError()], ids=repr)
def test_nothing_is_left_of_a_stream_that_fails_or_is_cancelled(
    store: ImageStore, root: Path, error: BaseException
) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield bytes(9 * MIB)
        raise error

    async def story() -> None:
        await store.save(
            failing(), format="raw", kind=ImageKind.DISK, expected_sha256=None, max_bytes=100 * MIB
        )

    with pytest.raises(type(error)):
        asyncio.run(story())
    assert files(root) == []
