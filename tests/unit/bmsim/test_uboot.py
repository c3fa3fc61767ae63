from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from bmsim.backends import uboot

ARCHES = sorted(uboot.FIRMWARE)


@pytest.mark.parametrize("arch", ARCHES)
def test_a_boards_environment_is_its_builds_own_with_the_network_first(arch: str) -> None:
    known = uboot.defaults(uboot.FIRMWARE[arch].read_bytes())
    assert known["boot_script_dhcp"] == "boot.scr.uimg"
    assert {"bootcmd_dhcp", "bootcmd_virtio0", "kernel_addr_r"} <= known.keys()
    stored = uboot.environment_of(arch)
    assert b"\0boot_targets=dhcp virtio0\0" in stored
    assert f"kernel_addr_r={known['kernel_addr_r']}".encode() in stored


def test_an_environment_is_packed_as_u_boots_own_tool_packs_it(tmp_path: Path) -> None:
    variables = {"boot_targets": "dhcp virtio0", "bootdelay": "0"}
    source = tmp_path / "environment.txt"
    source.write_text("".join(f"{name}={value}\n" for name, value in sorted(variables.items())))
    made = tmp_path / "environment"
    size = hex(uboot.ENVIRONMENT_BYTES)
    subprocess.run(["mkenvimage", "-s", size, "-p", "0", "-o", str(made), str(source)], check=True)
    assert uboot.packed(variables) == made.read_bytes()


def test_what_has_no_room_in_an_environment_is_refused() -> None:
    with pytest.raises(ValueError, match="has no room"):
        uboot.packed({"long": "x" * uboot.ENVIRONMENT_BYTES})


@pytest.mark.parametrize("arch", ARCHES)
def test_both_chips_are_as_large_as_the_boards_and_mostly_holes(arch: str, tmp_path: Path) -> None:
    uboot.make_flash(arch, tmp_path)
    for path in uboot.flash_files(tmp_path):
        assert path.stat().st_size == uboot.FLASH_BYTES
        assert path.stat().st_blocks * 512 < uboot.FLASH_BYTES / 16
    data = uboot.flash_files(tmp_path)[1].read_bytes()[: uboot.ENVIRONMENT_BYTES]
    assert struct.unpack("<I", data[:4])[0] == zlib.crc32(data[4:])
