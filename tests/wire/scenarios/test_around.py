"""What the lab finds around an image on a disk whose partitions the usual tools have made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scenarios.runner.machine.around import around
from scenarios.runner.stage import Around

pytestmark = pytest.mark.wire
MIB = 2**20

DISK_MIB = 256
PARTS = {"root": (1, 120), "ephemeral": (121, 64), "swap": (185, 32), "config": (217, 8)}
"""Beginning and size in MiB."""

TABLES = {
    "gpt": "label: gpt\n",
    "dos": "label: dos\n",
}


def run(*argv: str | Path, text: str = "") -> None:
    subprocess.run([str(word) for word in argv], check=True, capture_output=True, input=text.encode())


def put(disk: Path, part: str, content: Path) -> None:
    with disk.open("r+b") as file:
        file.seek(PARTS[part][0] * MIB)
        file.write(content.read_bytes())


def made(folder: Path, part: str, mib: int = 0) -> Path:
    file = folder / part
    with file.open("wb") as new:
        new.truncate((mib or PARTS[part][1]) * MIB)
    return file


@pytest.fixture(params=TABLES)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A table alone."""
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(DISK_MIB * MIB)
    lines = (f"start={start}MiB, size={size}MiB" for start, size in PARTS.values())
    run("sfdisk", "--quiet", disk, text=TABLES[request.param] + "\n".join(lines) + "\n")
    return disk


def furnish(disk: Path, *, root_mib: int = 0) -> None:
    folder = disk.parent
    run("mke2fs", "-q", "-t", "ext4", root := made(folder, "root", root_mib))
    put(disk, "root", root)
    run("mke2fs", "-q", "-t", "ext4", "-L", "ephemeral0", ephemeral := made(folder, "ephemeral"))
    put(disk, "ephemeral", ephemeral)
    run("mkswap", swap := made(folder, "swap"))
    put(disk, "swap", swap)
    run("mkfs.vfat", "-n", "CIDATA", config := made(folder, "config"))
    (folder / "meta-data").write_text('{"instance-id": "i-1", "local-hostname": "web"}\n')
    run("mcopy", "-i", config, folder / "meta-data", "::meta-data")
    put(disk, "config", config)


def test_all_that_was_made_is_found(disk: Path) -> None:
    furnish(disk)
    assert around(disk) == Around(root_fills=True, ephemeral_mib=64, swap_mib=32, hostname="web")


def test_a_root_that_was_not_grown_is_seen(disk: Path) -> None:
    furnish(disk, root_mib=64)
    assert not around(disk).root_fills


def test_partitions_alone_are_nothing(disk: Path) -> None:
    assert around(disk) == Around()


def test_a_drive_without_metadata_tells_no_name(disk: Path) -> None:
    furnish(disk)
    run("mkfs.vfat", "-n", "CIDATA", config := made(disk.parent, "config"))
    put(disk, "config", config)
    assert not around(disk).hostname


def test_a_disk_without_a_table_holds_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "blank.raw"
    disk.write_bytes(bytes(MIB))
    assert around(disk) == Around()
