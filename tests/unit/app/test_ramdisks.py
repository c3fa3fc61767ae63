"""Which deploy ramdisk and which boot loader an architecture has."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.app.ramdisks import Ramdisks
from provisioner.config.settings import Settings
from provisioner.core.errors import PermanentError

NETWORK = {
    "interface": "prov0",
    "address": "10.77.0.10",
    "subnet": "10.77.0.0/24",
    "pool": "10.77.0.100-10.77.0.199",
}


def ramdisks(cache: Path, **given: object) -> Ramdisks:
    return Ramdisks(Settings.model_validate({"state_dir": str(cache), "network": NETWORK, **given}), cache)


def built(cache: Path, arch: str, *files: str) -> Path:
    folder = cache / arch / "abc"
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).touch()
    return folder


def test_a_ramdisk_and_its_loader_are_those_that_were_built_last(tmp_path: Path) -> None:
    folder = built(tmp_path, "arm64", "vmlinuz", "initrd", "loader.efi")
    found = ramdisks(tmp_path)
    assert found("arm64").ramdisk == folder / "initrd"
    assert found.loader("arm64") == folder / "loader.efi"


def test_the_configurations_go_before(tmp_path: Path) -> None:
    given = {"arm64": {"kernel": "/k", "ramdisk": "/r", "loader": "/l"}}
    found = ramdisks(tmp_path, ramdisks=given)
    assert (found("arm64").kernel, found.loader("arm64")) == (Path("/k"), Path("/l"))


def test_virtual_machines_boot_the_kernel_that_is_made_for_them_where_there_is_one(tmp_path: Path) -> None:
    folders = {name: built(tmp_path, name, "vmlinuz", "initrd") for name in ("amd64", "amd64-cloud", "armhf")}
    hardware, cloud = ramdisks(tmp_path), ramdisks(tmp_path, ramdisk_kernel="cloud")
    assert hardware("x86_64").kernel == folders["amd64"] / "vmlinuz"
    assert cloud("x86_64").kernel == folders["amd64-cloud"] / "vmlinuz"
    assert hardware("armhf") == cloud("armhf")
    with pytest.raises(PermanentError, match="ramdisk build --arch arm64 --kernel cloud"):
        cloud("arm64")


def test_what_is_missing_is_told_with_how_it_is_built(tmp_path: Path) -> None:
    built(tmp_path, "arm64", "vmlinuz", "initrd")
    found = ramdisks(tmp_path)
    with pytest.raises(PermanentError, match="provisioner ramdisk build --arch amd64"):
        found("x86_64")
    with pytest.raises(PermanentError, match="find the boot loader for arm64"):
        found.loader("arm64")
