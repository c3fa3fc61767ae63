from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from provisioner.services import qcow2


def made(folder: Path, *options: str, size: str = "64M") -> bytes:
    path = folder / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), size], check=True)
    return path.read_bytes()[: qcow2.HEAD_BYTES]


@pytest.mark.parametrize("compat", ["0.10", "1.1"])
def test_a_plain_image_tells_its_size(tmp_path: Path, compat: str) -> None:
    head = qcow2.read(made(tmp_path, "-o", f"compat={compat},cluster_size=4096"))
    assert head == qcow2.Qcow2Head(64 * 2**20, 4096, "")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["-u", "-b", "/etc/passwd", "-F", "raw"], "backing file"),
        (["-o", "data_file={folder}/data"], "its data is in another file"),
    ],
)
def test_an_image_that_is_not_whole_in_itself_is_faulty(
    tmp_path: Path, options: list[str], fault: str
) -> None:
    head = qcow2.read(made(tmp_path, *(option.format(folder=tmp_path) for option in options)))
    assert fault in head.fault
    assert head.advice


def test_a_name_of_a_data_file_is_faulty_even_without_the_feature(tmp_path: Path) -> None:
    head = bytearray(made(tmp_path, "-o", f"data_file={tmp_path}/data"))
    struct.pack_into(">Q", head, 72, 0)
    assert "another file" in qcow2.read(bytes(head)).fault


@pytest.mark.parametrize("method", [1, 2], ids=["AES", "LUKS"])
def test_an_encrypted_image_is_faulty(tmp_path: Path, method: int) -> None:
    head = bytearray(made(tmp_path))
    struct.pack_into(">I", head, 32, method)
    assert "encrypted" in qcow2.read(bytes(head)).fault


def test_an_image_marked_as_corrupt_is_faulty(tmp_path: Path) -> None:
    head = bytearray(made(tmp_path))
    struct.pack_into(">Q", head, 72, 2)
    assert "corrupt" in qcow2.read(bytes(head)).fault


@pytest.mark.parametrize(
    "change",
    [(4, ">I", 4), (20, ">I", 60), (20, ">I", 0)],
    ids=["unknown version", "vast clusters", "tiny clusters"],
)
def test_a_header_that_cannot_be_is_faulty(tmp_path: Path, change: tuple[int, str, int]) -> None:
    head = bytearray(made(tmp_path))
    offset, layout, value = change
    struct.pack_into(layout, head, offset, value)
    assert qcow2.read(bytes(head)).fault


def test_every_cut_of_a_header_is_read_without_a_crash(tmp_path: Path) -> None:
    head = made(tmp_path)
    for length in range(104):
        assert qcow2.read(head[:length]).fault
