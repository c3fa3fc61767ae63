"""Which of what sysfs shows are disks."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.agent import disks


def shown(sys: Path, name: str, **says: int | str) -> None:
    """A block device of 8 GiB, and what sysfs says of it besides."""
    (sys / name / "device").mkdir(parents=True)
    for attribute, value in ({"size": 2**24, "removable": 0, "ro": 0} | says).items():
        (sys / name / attribute).write_text(f"{value}\n")


def test_an_emmc_is_a_disk_and_what_a_loader_boots_from_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "SYS_BLOCK", tmp_path)
    shown(tmp_path, "mmcblk0")
    (tmp_path / "mmcblk0/device/name").write_text("BJTD4R\n")
    shown(tmp_path, "mmcblk0boot0", ro=1)
    shown(tmp_path, "mmcblk0boot1")
    shown(tmp_path, "mmcblk0rpmb")
    shown(tmp_path, "mtdblock0")
    shown(tmp_path, "sda", removable=1)
    shown(tmp_path, "sdb", ro=1)
    shown(tmp_path, "sdc")
    assert disks.all_disks() == ["/dev/mmcblk0", "/dev/sdc"]
    assert disks.describe("/dev/mmcblk0")["model"] == "BJTD4R"
