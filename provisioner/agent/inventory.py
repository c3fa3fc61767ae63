"""inventory: what the machine is made of."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provisioner.agent.board import Run
from provisioner.agent.disks import all_disks, describe
from provisioner.agent.job import Job
from provisioner.agent.params import Params
from provisioner.agent.traits import traits

SYS = Path("/sys")
COLDPLUG = "/usr/bin/coldplug"  # of the ramdisk; elsewhere there is nothing to load
DRIVERS_LOADED = Path("/run/drivers-loaded")
DISK_POLL_S = 0.1


def inventory_command(boot_mac: str) -> Callable[[Params], Run]:
    def parse(params: Params) -> Run:
        disks_wait_s = params.integer("disks_wait_s", 0, 120, default=10)
        return lambda job: _inventory(job, boot_mac, disks_wait_s)

    return parse


def _inventory(job: Job, boot_mac: str, disks_wait_s: int) -> dict[str, Any]:
    disks = _settled_disks(job, disks_wait_s)
    return {
        "cpus": os.cpu_count() or 1,
        "arch": os.uname().machine,
        "memory_mib": _memory_mib(),
        "firmware": "uefi" if (SYS / "firmware/efi").exists() else "bios",
        "disks": [describe(disk) for disk in disks],
        "nics": [
            _nic(entry) for entry in sorted((SYS / "class/net").iterdir()) if (entry / "device").exists()
        ],
        "boot_mac": boot_mac,
        "traits": traits(),
    }


def _settled_disks(job: Job, wait_s: int) -> list[str]:
    """The disks there are once the ramdisk has loaded its drivers. If there are none yet, it waits: a
    controller finds its disks in its own time, and some of them need another driver then."""
    for _ in range(int(wait_s / DISK_POLL_S)):
        loaded = not Path(COLDPLUG).exists() or DRIVERS_LOADED.exists()
        if loaded and (disks := all_disks()):
            return disks
        if loaded and Path(COLDPLUG).exists():
            job.run([COLDPLUG])
        job.wait(DISK_POLL_S)
    return all_disks()


def _memory_mib() -> int:
    """What is fitted, as far as the kernel knows: MemTotal lacks what the kernel keeps for itself."""
    memory = SYS / "devices/system/memory"
    try:
        block_bytes = int((memory / "block_size_bytes").read_text(), 16)
        return len(list(memory.glob("memory[0-9]*"))) * block_bytes // 2**20
    except OSError:  # a kernel without memory hotplug
        first = Path("/proc/meminfo").read_text().splitlines()[0]
        return int(first.split()[1]) // 1024


def _nic(entry: Path) -> dict[str, Any]:
    driver = entry / "device/driver"
    return {
        "name": entry.name,
        "mac": _text(entry / "address"),
        "carrier": _text(entry / "carrier") == "1",
        "speed_mbps": _speed_mbps(entry),
        "driver": driver.resolve().name if driver.exists() else "",
    }


def _speed_mbps(entry: Path) -> int | None:
    """None when the link is down or the driver doesn't know."""
    text = _text(entry / "speed")
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # reading carrier or speed of a port that is down is EINVAL
        return ""
