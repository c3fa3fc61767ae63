"""What a machine can end up running, and who knows what lies behind a kernel or on a disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bmsim.devices.disk import SECTOR_BYTES, Disk
from bmsim.devices.messages import SystemKind


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a loader starts. url, ramdisk_url: where it came from; ramdisk_url: empty without one."""

    url: str
    ramdisk_url: str
    command_line: str


@dataclass(frozen=True, slots=True)
class System:
    """up_after_s: its kernel's start until it asks for an address; None: as the machine's timing says.
    panics: why it doesn't come up, if so. dhcp_client: what it calls itself when it asks for an address.
    nfs_root: SERVER:PATH of the root that it mounts by NFS when it has one; empty: its root is elsewhere."""

    kind: SystemKind
    name: str
    up_after_s: float | None = None
    panics: str = ""
    command_line: str = ""
    dhcp_client: str = "udhcp"
    nfs_root: str = ""


class Then(Enum):
    """How a boot ends that ends in no system."""

    NEXT_DEVICE = "next device"
    REBOOT = "reboot"
    POWER_OFF = "power off"


class Systems(Protocol):
    """What contents mean. Pure: the same answer for the same arguments."""

    def of_kernel(self, kernel: Kernel, disk: Disk | None) -> System:
        """What runs when a machine with this disk starts this kernel."""
        ...

    def of_disk(self, disk: Disk) -> System | None:
        """What this disk boots; None: nothing."""
        ...


@dataclass(frozen=True, slots=True)
class KnownSystems:
    """The simplest `Systems`: by a word of the command line, and by the content of a disk's first sector.

    agent_word: a kernel with it in its command line is the agent's. bootable: content → its system's name.
    """

    agent_word: str
    bootable: Mapping[str, str]

    def of_kernel(self, kernel: Kernel, disk: Disk | None) -> System:
        if self.agent_word in kernel.command_line:
            return System(SystemKind.AGENT, "agent", command_line=kernel.command_line)
        return System(SystemKind.INSTANCE, kernel.url, command_line=kernel.command_line)

    def of_disk(self, disk: Disk) -> System | None:
        content = disk.extents(0, SECTOR_BYTES)[0].content
        name = self.bootable.get(content)
        return System(SystemKind.INSTANCE, name) if name else None
