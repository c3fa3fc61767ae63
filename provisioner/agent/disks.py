"""The node's disks, as sysfs tells of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from provisioner.agent.block import SYS_BLOCK, SYSFS_SECTOR_BYTES

NO_DISKS = ("loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd", "mtdblock")

_BESIDES_DISKS = re.compile(r"mmcblk\d+(boot\d+|rpmb)")
"""Of an eMMC, the partitions that a board's loader may be on: read-only as a rule, and no disks if not."""


def all_disks() -> list[str]:
    """Every fixed, writable disk: /dev/sda, /dev/nvme0n1, … SD cards, which kernels call fixed, are some."""
    return [f"/dev/{entry.name}" for entry in sorted(SYS_BLOCK.iterdir()) if _is_disk(entry)]


def describe(device: str) -> dict[str, Any]:
    entry = SYS_BLOCK / Path(device).name
    return {
        "path": device,
        "size_bytes": _number(entry / "size") * SYSFS_SECTOR_BYTES,
        "serial": _first_text(entry / "serial", entry / "device/serial", entry / "device/vpd_pg80"),
        "wwn": _first_text(entry / "wwid", entry / "device/wwid"),
        "model": _first_text(entry / "device/model", entry / "device/name"),
        "rotational": bool(_number(entry / "queue/rotational")),
        "transport": _transport(entry),
    }


def _is_disk(entry: Path) -> bool:
    if entry.name.startswith(NO_DISKS) or (entry / "partition").exists() or not (entry / "device").exists():
        return False
    if _BESIDES_DISKS.fullmatch(entry.name):
        return False
    return _number(entry / "size") > 0 and not _number(entry / "removable") and not _number(entry / "ro")


def _transport(entry: Path) -> str:
    """sata, sas, nvme, virtio, usb or scsi, by the devices that the disk hangs off."""
    path = str(entry.resolve())
    for mark, name in (("/usb", "usb"), ("/nvme", "nvme"), ("/ata", "sata"), ("/end_device-", "sas")):
        if mark in path:
            return name
    return "virtio" if "/virtio" in path else "scsi"


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _first_text(*paths: Path) -> str:
    """The first that has something to say. Serial numbers of SCSI disks are VPD page 0x80: 4 bytes of
    header, then text (SPC-4 §7.8)."""
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if path.name == "vpd_pg80":
            data = data[4:]
        text = data.decode("ascii", "replace").strip(" \n\0")
        if text:
            return text
    return ""
