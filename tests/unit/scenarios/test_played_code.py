"""What was played by other code is told from what this code plays."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from scenarios.runner.played_code import PACKAGES, ROOT, code_sha256


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for package in PACKAGES:
        copytree(ROOT / package, tmp_path / package, ignore=ignore_patterns("__pycache__"))
    return tmp_path


def changed(root: Path, file: str) -> str:
    """What it is once the file is another."""
    place = root / file
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(place.read_bytes() + b"#\n" if place.exists() else b"#\n")
    code_sha256.cache_clear()
    return code_sha256(root)


@pytest.mark.parametrize(
    "file",
    [
        "scenarios/runner/model/stage.py",
        "provisioner/drivers/ipxe_scripts/kernel.ipxe",
        "provisioner/drivers/uboot_scripts/local_disk.cmd",
        "provisioner/drivers/grub_scripts/kernel.cfg",
        "provisioner/ramdisk/scripts/init.sh",
        "bmsim/devices/another.py",
    ],
)
def test_a_changed_file_makes_other_code(root: Path, file: str) -> None:
    before = code_sha256(root)
    assert before == code_sha256()
    assert changed(root, file) != before


@pytest.mark.parametrize("file", ["bmsim/__pycache__/cli.pyc", "scenarios/another.yaml"])
def test_what_is_no_code_makes_none(root: Path, file: str) -> None:
    assert changed(root, file) == code_sha256()
