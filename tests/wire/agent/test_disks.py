"""Partitions, file systems, config drive and wipes, on loop devices."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.agent_peer import CommandFailed
from tests.wire.agent.conftest import Disk, MakeDisk, RealAgent, loop

pytestmark = pytest.mark.wire

MIB = 2**20
BOOT_CODE = os.urandom(440)
WHOLE_DISK_GPT = """label: gpt
first-lba: 34
p14: start=34, size=2000, type=21686148-6449-6E6F-744E-656564454649, name="bios"
p15: start=2048, size=20480, type=U, name="efi"
p1: start=22528, size=81920, type=L, name="root"
"""
WHOLE_DISK_MBR = """label: dos
start=2048, size=102400, type=83, bootable
"""


def tool(*argv: str | Path, stdin: str = "") -> str:
    done = subprocess.run(
        [str(word) for word in argv], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{argv}: {done.stderr or done.stdout}"
    return done.stdout


def with_root_filesystem(disk: Disk, tmp_path: Path, mib: int) -> None:
    """Lays an ext4 of that size at 1 MiB of the disk, as a deploy does."""
    root = tmp_path / "root.ext4"
    root.touch()
    os.truncate(root, mib * MIB)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/hello").write_text("world")
    tool("mkfs.ext4", "-q", "-F", "-d", tmp_path / "tree", root)
    tool("dd", f"if={root}", f"of={disk.device}", "bs=1M", "seek=1", "conv=fsync", "status=none")


def with_whole_disk_image(
    disk: Disk, tmp_path: Path, script: str, root_mib: tuple[int, int], mib: int
) -> None:
    """Lays an image with a table, boot code and an ext4 in its root partition on the disk."""
    image = tmp_path / "image.raw"
    image.touch()
    os.truncate(image, mib * MIB)
    tool("sfdisk", "--quiet", image, stdin=script)
    root = tmp_path / "root.ext4"
    root.touch()
    os.truncate(root, root_mib[1] * MIB)
    tool("mkfs.ext4", "-q", "-F", root)
    tool("dd", f"if={root}", f"of={image}", "bs=1M", f"seek={root_mib[0]}", "conv=notrunc", "status=none")
    with image.open("r+b") as file:
        file.write(BOOT_CODE)
    tool("dd", f"if={image}", f"of={disk.device}", "bs=1M", "conv=fsync", "status=none")


def partition(
    agent: RealAgent, disk: Disk, layout: str, root_mib: int = 64, swap_mib: int = 16, ephemeral_mib: int = 0
) -> Any:
    return agent.peer.run(
        "partition_disk",
        device=disk.device,
        layout=layout,
        root_offset_bytes=MIB,
        root_size_bytes=root_mib * MIB,
        ephemeral_mib=ephemeral_mib,
        swap_mib=swap_mib,
        config_drive_mib=8,
    )


@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_partitions_are_made_around_the_root_file_system(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path, sector_bytes: int
) -> None:
    disk = make_disk(256, garbage=True, sector_bytes=sector_bytes)
    with_root_filesystem(disk, tmp_path, 64)
    made = partition(agent, disk, "root_filesystem")
    assert made["root_device"] == f"{disk.device}p1" and made["root_fstype"] == "ext4"
    assert made["root_uuid"] in tool("blkid", "-p", f"{disk.device}p1")
    assert made["root_partuuid"] in tool("blkid", "-p", f"{disk.device}p1")
    assert (made["swap_device"], made["config_device"]) == (f"{disk.device}p2", f"{disk.device}p3")
    tool("sfdisk", "--verify", disk.device)
    table = disk.content(0, 34 * sector_bytes)
    assert partition(agent, disk, "root_filesystem") == made
    assert disk.content(0, 34 * sector_bytes) == table


def test_a_disk_that_takes_no_partition_table_is_told_as_one_that_fails(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path
) -> None:
    """sfdisk tells of that nothing but its exit status."""
    disk = make_disk(256)
    with_root_filesystem(disk, tmp_path, 64)
    with (
        taking_no_more(disk.file, tmp_path / "full") as file,
        loop(file, 512) as device,
        pytest.raises(CommandFailed) as failed,
    ):
        partition(agent, Disk(device, file), "root_filesystem")
    assert failed.value.code == "disk-error"
    assert str(failed.value).endswith(f"{device}: Input/output error")


@contextmanager
def taking_no_more(file: Path, folder: Path) -> Iterator[Path]:
    """A copy of it on a file system that is full: nothing can be written where it has holes."""
    folder.mkdir()
    tool("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder)
    try:
        copy = folder / file.name
        tool("cp", "--sparse=always", file, copy)
        with (folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(4096))
        yield copy
    finally:
        tool("umount", folder)


def test_the_root_file_system_grows_to_its_partition(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path
) -> None:
    disk = make_disk(256, garbage=True)
    with_root_filesystem(disk, tmp_path, 64)
    root = partition(agent, disk, "root_filesystem")["root_device"]
    for _ in range(2):
        grown = agent.peer.run("grow_root", device=root)
        assert (grown["grown"], grown["size_bytes"]) == (True, (256 - 1 - 16 - 8 - 1) * MIB)
        tool("e2fsck", "-f", "-n", root)
    assert tool("debugfs", "-R", "cat hello", root) == "world"
    blocks = next(row for row in tool("dumpe2fs", "-h", root).splitlines() if row.startswith("Block count"))
    assert int(blocks.split()[-1]) * 1024 >= 229 * MIB


def test_a_damaged_root_file_system_is_told_as_such(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path
) -> None:
    disk = make_disk(128)
    with_root_filesystem(disk, tmp_path, 64)
    root = partition(agent, disk, "root_filesystem")["root_device"]
    tool("debugfs", "-w", "-R", "clri <2>", root)
    tool("sync")
    with pytest.raises(CommandFailed, match="file-system-damaged: e2fsck -f -p"):
        agent.peer.run("grow_root", device=root)


def test_what_is_no_ext_file_system_is_left_as_it_is(agent: RealAgent, make_disk: MakeDisk) -> None:
    disk = make_disk(128)
    tool("mkswap", disk.device)
    assert agent.peer.run("grow_root", device=disk.device) == {
        "grown": False,
        "fstype": "swap",
        "note": "not grown: swap",
    }


def test_a_disk_too_small_for_image_and_swap_is_refused_untouched(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path
) -> None:
    disk = make_disk(80, garbage=True)
    before = disk.content(0, MIB)
    with pytest.raises(CommandFailed, match="disk-too-small"):
        partition(agent, disk, "root_filesystem", root_mib=64)
    assert disk.content(0, MIB) == before


@pytest.mark.parametrize(
    ("script", "root", "numbers"),
    [(WHOLE_DISK_GPT, (11, 40), ("p1", "p2", "p3")), (WHOLE_DISK_MBR, (1, 50), ("p1", "p2", "p3"))],
    ids=["gpt", "mbr"],
)
def test_a_whole_disk_image_keeps_its_boot_code_and_fills_the_disk(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path, script: str, root: tuple[int, int], numbers: Any
) -> None:
    disk = make_disk(256, garbage=True)
    with_whole_disk_image(disk, tmp_path, script, root, 64)
    made = partition(agent, disk, "whole_disk")
    devices = (made["root_device"], made["swap_device"], made["config_device"])
    assert devices == tuple(f"{disk.device}{number}" for number in numbers)
    assert made["root_fstype"] == "ext4"
    assert disk.content(0, 440) == BOOT_CODE
    assert "no errors detected" in tool("sfdisk", "--verify", disk.device).lower()
    grown = agent.peer.run("grow_root", device=made["root_device"])
    assert grown["size_bytes"] > 200 * MIB
    before = disk.content(0, 2 * MIB)
    assert partition(agent, disk, "whole_disk") == made
    assert disk.content(0, 2 * MIB) == before


def test_a_disk_without_a_table_is_no_whole_disk_image(agent: RealAgent, make_disk: MakeDisk) -> None:
    with pytest.raises(CommandFailed, match="no-partition-table"):
        partition(agent, make_disk(64), "whole_disk")


def test_swap_has_the_same_uuid_each_time(agent: RealAgent, make_disk: MakeDisk) -> None:
    disk = make_disk(64, garbage=True)
    made = agent.peer.run("make_swap", device=disk.device)
    assert agent.peer.run("make_swap", device=disk.device) == made
    told = tool("blkid", "-p", disk.device)
    assert 'TYPE="swap"' in told and made["uuid"] in told


def test_ephemeral_storage_is_made_anew_and_found_by_its_label(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path
) -> None:
    disk = make_disk(256, garbage=True)
    with_root_filesystem(disk, tmp_path, 64)
    device = partition(agent, disk, "root_filesystem", ephemeral_mib=64)["ephemeral_device"]
    assert device == f"{disk.device}p2"
    made = agent.peer.run("make_ephemeral", device=device)
    tool("debugfs", "-w", "-R", "mkdir left", device)
    assert agent.peer.run("make_ephemeral", device=device) == made
    told = tool("blkid", "-p", device)
    assert 'LABEL="ephemeral0"' in told and 'TYPE="ext4"' in told and made["uuid"] in told
    tool("e2fsck", "-f", "-n", device)
    assert "left" not in tool("debugfs", "-R", "ls -l /", device)


def test_ephemeral_storage_larger_than_the_root_is_not_taken_for_it(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path
) -> None:
    disk = make_disk(256, garbage=True)
    with_whole_disk_image(disk, tmp_path, WHOLE_DISK_MBR, (1, 50), 64)
    made = partition(agent, disk, "whole_disk", ephemeral_mib=150)
    agent.peer.run("make_ephemeral", device=made["ephemeral_device"])
    assert partition(agent, disk, "whole_disk", ephemeral_mib=150) == made
    assert made["root_device"] == f"{disk.device}p1"


@pytest.mark.parametrize(("mib", "sector_bytes"), [(8, 512), (8, 4096), (1, 512), (64, 512)])
def test_the_config_drive_is_a_fat_that_others_read(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path, mib: int, sector_bytes: int
) -> None:
    disk = make_disk(mib, garbage=True, sector_bytes=sector_bytes)
    files = {
        "meta-data": b"instance-id: i-1\n",
        "user-data": os.urandom(100_000),
        "thirteen-char": b"",
        "a-name-longer-than-two-long-entries": b"x" * 513,
    }
    encoded = {name: base64.b64encode(content).decode() for name, content in files.items()}
    for _ in range(2):
        agent.peer.run("write_config_drive", device=disk.device, files=encoded)
        told = tool("blkid", "-p", disk.device)
        assert 'LABEL="CIDATA"' in told and 'TYPE="vfat"' in told
        tool("fsck.fat", "-n", disk.device)
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        tool("mcopy", "-o", "-i", disk.file, "::*", out)
        assert {path.name: path.read_bytes() for path in out.iterdir()} == files


def test_files_too_large_for_the_config_drive_are_refused(agent: RealAgent, make_disk: MakeDisk) -> None:
    disk = make_disk(8)
    files = {"user-data": base64.b64encode(bytes(8 * MIB)).decode()}
    with pytest.raises(CommandFailed, match="config-drive-too-small"):
        agent.peer.run("write_config_drive", device=disk.device, files=files)
    bad_ones: list[Any] = [{}, {"../etc": "aGk="}, {"user-data": "not base64"}, {"user-data": 1}, []]
    for bad in bad_ones:
        assert agent.peer.give("write_config_drive", {"device": disk.device, "files": bad})[0] == 400


def test_a_quick_wipe_leaves_nothing_to_be_found(
    agent: RealAgent, make_disk: MakeDisk, tmp_path: Path
) -> None:
    disk = make_disk(256, garbage=True)
    with_root_filesystem(disk, tmp_path, 64)
    made = partition(agent, disk, "root_filesystem", ephemeral_mib=100)
    agent.peer.run("make_ephemeral", device=made["ephemeral_device"])
    agent.peer.run("make_swap", device=made["swap_device"])
    wiped = agent.peer.run("wipe", devices=[disk.device], mode="quick")
    assert wiped == {"devices": [disk.device], "mode": "quick"}
    assert not Path(made["root_device"]).exists()
    assert not any(disk.content(0, 17 * MIB)) and not any(disk.content(240 * MIB))
    assert not any(disk.content((256 - 1 - 8 - 16) * MIB, 16 * MIB)), "the swap partition is gone too"
    ephemeral = 256 - 1 - 8 - 16 - 100
    assert not any(disk.content(ephemeral * MIB, 16 * MIB)), "nor is ephemeral storage to be found"
    assert any(disk.content(100 * MIB, MIB)), "it is quick because it leaves the rest"
    assert tool("wipefs", disk.device) == ""


def test_a_full_wipe_leaves_zeros(agent: RealAgent, make_disk: MakeDisk) -> None:
    disk = make_disk(200, garbage=True)
    agent.peer.run("wipe", devices=[disk.device], mode="full")
    assert not any(disk.content())


def test_a_wiped_disk_takes_the_next_deploy(agent: RealAgent, make_disk: MakeDisk, tmp_path: Path) -> None:
    disk = make_disk(256)
    with_root_filesystem(disk, tmp_path, 64)
    made = partition(agent, disk, "root_filesystem")
    agent.peer.run("wipe", devices=[disk.device], mode="quick")
    tool(
        "dd",
        f"if={tmp_path / 'root.ext4'}",
        f"of={disk.device}",
        "bs=1M",
        "seek=1",
        "conv=fsync",
        "status=none",
    )
    assert partition(agent, disk, "root_filesystem") == made


def test_a_device_that_is_gone_is_named(agent: RealAgent) -> None:
    gone: list[tuple[str, dict[str, Any]]] = [
        ("checksum_disk", {"device": "/dev/gone", "size_bytes": 1}),
        ("partition_disk", {"device": "/dev/gone", "layout": "whole_disk"}),
        ("write_config_drive", {"device": "/dev/gone", "files": {"meta-data": ""}}),
        ("wipe", {"devices": ["/dev/gone"], "mode": "quick"}),
    ]
    for name, params in gone:
        with pytest.raises(CommandFailed, match=r"disk-missing: .*/dev/gone"):
            agent.peer.run(name, **params)


def test_the_inventory_tells_of_this_machine(agent: RealAgent) -> None:
    found = agent.peer.run("inventory")
    assert found["cpus"] == os.cpu_count()
    assert found["arch"] == os.uname().machine
    assert found["memory_mib"] > 256
    assert found["firmware"] in ("bios", "uefi")
    assert found["boot_mac"] == "52:54:00:77:00:01"
    assert all(disk["size_bytes"] > 0 and Path(disk["path"]).exists() for disk in found["disks"])
    assert not any(disk["path"].startswith("/dev/loop") for disk in found["disks"])
