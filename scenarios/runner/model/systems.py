"""What runs when a machine of the model starts a kernel, or its disk."""

from __future__ import annotations

import re
from collections.abc import Callable

from bmsim.devices.disk import Disk, DiskError
from bmsim.devices.messages import SystemKind
from bmsim.devices.system import Kernel, System
from provisioner.core.model import ImageKind
from scenarios.runner.model.agent_commands import TABLE_BYTES, CommandFailed, table_of
from scenarios.runner.model.contents import LIBRARY, MIB
from scenarios.runner.model.roots import NfsRoot, Root

ROOT_OFFSET_BYTES = MIB
RAMDISK_CLIENT = "provisioner-ramdisk"
"""The vendor class of the deploy ramdisk's DHCP requests (docs/agent-protocol.md)."""

UP_AFTER_S = dict.fromkeys(("tiny", "tiny-disk", "tiny-arm64", "tiny-disk-arm64", "tiny-armhf"), 4.0)
"""Of images whose systems are up sooner than a machine's usual one."""


class ModelSystems:
    """`bmsim.devices.system.Systems`, by the contents of LIBRARY.

    mounted: what a machine finds at a root by NFS; None: nobody serves it to this one, or nothing is there.
    """

    def __init__(self, mounted: Callable[[NfsRoot], Root | None]) -> None:
        self._mounted = mounted

    def of_kernel(self, kernel: Kernel, disk: Disk | None) -> System:
        line = kernel.command_line
        if "provisioner.token=" in line:
            return System(SystemKind.AGENT, "agent", command_line=line, dhcp_client=RAMDISK_CLIENT)
        if (by_nfs := NfsRoot.named_in(line)) is not None:
            found = self._mounted(by_nfs)
            if found is None:
                return System(SystemKind.INSTANCE, "", panics="unable to mount its root by NFS")
            return System(
                *(SystemKind.INSTANCE, found.image, UP_AFTER_S.get(found.image)),
                command_line=line,
                nfs_root=by_nfs.source,
            )
        root = re.search(r"root=UUID=(\S+)", line)
        name = _root_image(disk, root[1]) if root and disk is not None else ""
        if not name:
            return System(SystemKind.INSTANCE, "", panics="unable to find its root file system")
        return System(SystemKind.INSTANCE, name, UP_AFTER_S.get(name), command_line=line)

    def of_disk(self, disk: Disk) -> System | None:
        try:
            beyond = disk.read(TABLE_BYTES, 512)[0]
            content = LIBRARY.get(beyond.content)
        except DiskError:
            return None
        # Its boot loader lies behind the table; the agent wrote the table anew.
        if content is None or content.kind is not ImageKind.DISK or beyond.begin != TABLE_BYTES:
            return None
        return System(SystemKind.INSTANCE, content.name, UP_AFTER_S.get(content.name))


def _root_image(disk: Disk, root_uuid: str) -> str:
    """The image that is mounted as root; empty: none is found."""
    try:
        if table_of(disk)["root_uuid"] != root_uuid:
            return ""
        first = disk.read(ROOT_OFFSET_BYTES, 512)[0]
    except (DiskError, CommandFailed):
        return ""
    return first.content if first.begin == 0 and first.content in LIBRARY else ""


def config_drive(disk: Disk) -> str:
    """The content that stands for the config drive on this disk; empty: it has none."""
    try:
        offset, _ = table_of(disk)["spans"]["config"]
        return disk.read(offset, 512)[0].content
    except (DiskError, CommandFailed):
        return ""
