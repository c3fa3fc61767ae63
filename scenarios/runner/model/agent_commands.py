"""What the agent of the model can do with its machine and its disk of extents: docs/agent-protocol.md."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bmsim.devices.disk import SECTOR_BYTES, Disk, Extent
from scenarios.runner.model.contents import MIB, digest_of_range
from scenarios.runner.stage import Around

LUN = 1
PORTAL_PORT = 3260
EDGE_BYTES = 16 * MIB
TABLE_BYTES = 34 * 512
"""A GPT: protective MBR, header, 128 entries. Its copy lies at the end of the disk."""

BLOCK_BYTES, GROWN = 4096, "grown"
"""The last block of a root file system that fills its partition."""

QUICK_S = 0.15
"""A command that starts a few tools."""

CHECKSUM_BYTES_PER_S = 300 * MIB
ZERO_BYTES_PER_S = 400 * MIB

Steps = Generator[float, None, Mapping[str, Any]]
"""A command at work: yields seconds that pass, returns its result. Raises CommandFailed."""


class CommandFailed(Exception):
    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class Host(Protocol):
    """The machine that the agent runs on."""

    name: str
    disk: Disk
    cpus: int
    memory_mib: int
    arch: str
    mac: str
    drives: dict[str, Mapping[str, str]]  # what config drives hold, by the content that stands for one

    def cuts_session(self, written_bytes: int) -> bool:
        """Whether an iSCSI session breaks for good when so much was written by it."""
        ...


@dataclass(slots=True)
class Export:
    iqn: str
    user: str
    password: str = field(repr=False)


class Workbench:
    """The machine at an agent's hands."""

    def __init__(self, host: Host, node_id: str, boot: str) -> None:
        """boot: which one of the machine, unlike all others."""
        self.export: Export | None = None
        self._boot = boot
        self._host = host
        self._node_id = node_id

    def _disk(self) -> Disk:
        disk = self._host.disk
        if not disk.present:
            raise CommandFailed("disk-missing", f"can't open {device_of(disk)}: No such file or directory")
        return disk

    def inventory(self, params: Mapping[str, Any]) -> Steps:
        yield QUICK_S
        host, disks = self._host, []
        if host.disk.present:
            disks.append(
                {
                    "path": device_of(host.disk),
                    "size_bytes": host.disk.size_bytes,
                    "serial": f"{host.name}-0",
                    "wwn": "",
                    "model": "",
                    "rotational": True,
                    "transport": "virtio",
                }
            )
        nic = {"name": "eth0", "mac": host.mac, "carrier": True, "speed_mbps": None, "driver": "virtio_net"}
        return {
            "cpus": host.cpus,
            "memory_mib": host.memory_mib,
            "arch": host.arch,
            "firmware": "bios",
            "boot_mac": host.mac,
            "traits": ["cpu_lm"] if host.arch == "x86_64" else [],
            "disks": disks,
            "nics": [nic],
        }

    def export_disk(self, params: Mapping[str, Any]) -> Steps:
        yield QUICK_S
        self._disk()
        self.export = Export(params["iqn"], params["chap_user"], params["chap_password"])
        return {"portal_port": PORTAL_PORT, "iqn": params["iqn"], "lun": LUN, "thin": True, "zeroed": False}

    def withdraw_disk(self, params: Mapping[str, Any]) -> Steps:
        self.export = None
        yield QUICK_S
        return {}

    def checksum_disk(self, params: Mapping[str, Any]) -> Steps:
        disk, offset, size = self._disk(), params["offset_bytes"], params["size_bytes"]
        if offset + size > disk.size_bytes:
            raise CommandFailed("disk-too-small", f"{device_of(disk)} has {disk.size_bytes} bytes")
        yield QUICK_S + disk.takes_s(size / CHECKSUM_BYTES_PER_S)
        return {"tree_digest": digest_of_range(disk.read(offset, size))}

    def partition_disk(self, params: Mapping[str, Any]) -> Steps:
        disk = self._disk()
        whole = params["layout"] == "whole_disk"
        ephemeral, swap = params["ephemeral_mib"] * MIB, params["swap_mib"] * MIB
        drive = params["config_drive_mib"] * MIB
        end = disk.size_bytes - MIB
        if params["root_offset_bytes"] + params["root_size_bytes"] + ephemeral + swap + drive > end:
            raise CommandFailed("disk-too-small", f"{device_of(disk)} has {disk.size_bytes} bytes")
        yield QUICK_S
        device = device_of(disk)
        layout = {
            "root_device": f"{device}1",
            "root_fstype": "ext4",
            "root_uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"root:{self._node_id}")),
            "root_partuuid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"part:{self._node_id}")),
            "ephemeral_device": f"{device}4" if ephemeral else None,
            "swap_device": f"{device}2" if swap else None,
            "config_device": f"{device}3",
        }
        spans = {
            "config": (end - drive, drive),
            "swap": (end - drive - swap, swap),
            "ephemeral": (end - drive - swap - ephemeral, ephemeral),
        }
        # Of an image's own table the first and the last sectors alone are written anew.
        image_end = params["root_size_bytes"] + (0 if whole else params["root_offset_bytes"])
        disk.write(0, TABLE_BYTES, _table(layout["root_uuid"] or "", whole, image_end, spans))
        yield QUICK_S
        disk.write(disk.size_bytes - TABLE_BYTES, TABLE_BYTES, "gpt-copy")
        return layout

    def grow_root(self, params: Mapping[str, Any]) -> Steps:
        yield QUICK_S
        disk = self._disk()
        table = table_of(disk)
        last = _last_block(table)
        if last >= table["image_end"]:
            disk.write(last, BLOCK_BYTES, self._called(GROWN))
        return {"grown": True, "fstype": "ext4", "size_bytes": disk.size_bytes}

    def make_ephemeral(self, params: Mapping[str, Any]) -> Steps:
        yield QUICK_S
        self._make("ephemeral")
        made = str(uuid.uuid5(uuid.NAMESPACE_URL, f"ephemeral:{self._node_id}"))
        return {"uuid": made, "label": "ephemeral0"}

    def _called(self, kind: str) -> str:
        """Otherwise than what an agent of another boot has made."""
        return f"{kind}:{self._boot}"

    def _make(self, kind: str) -> None:
        """What is found at the beginning of such a partition, and looked at when it was made."""
        disk = self._disk()
        (offset, length), made = table_of(disk)["spans"][kind], self._called(kind)
        disk.write(offset, min(length, MIB), made)
        if not disk.holds(offset, min(length, MIB), made):
            raise CommandFailed(f"{kind}-failed", f"it was made on {device_of(disk)} and isn't there")

    def make_swap(self, params: Mapping[str, Any]) -> Steps:
        yield QUICK_S
        self._make("swap")
        return {"uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"swap:{self._node_id}"))}

    def write_config_drive(self, params: Mapping[str, Any]) -> Steps:
        yield QUICK_S
        files = {name: base64.b64decode(text).decode() for name, text in params["files"].items()}
        content = f"config-drive:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(files, sort_keys=True))}"
        self._host.drives[content] = files
        disk = self._disk()
        offset, length = table_of(disk)["spans"]["config"]
        disk.write(offset, length, content)
        if not disk.holds(offset, length, content):
            raise CommandFailed("config-drive-differs", f"{device_of(disk)}3 doesn't read as it was written")
        return {"label": "CIDATA", "files": sorted(files)}

    def wipe(self, params: Mapping[str, Any]) -> Steps:
        disk = self._disk()
        yield QUICK_S
        if params["mode"] == "full":
            yield disk.size_bytes / 2 / ZERO_BYTES_PER_S
            disk.zero(0, disk.size_bytes // 2)
            yield disk.size_bytes / 2 / ZERO_BYTES_PER_S
            disk.zero(0, disk.size_bytes)
            proof = [(0, disk.size_bytes)]
        else:
            edge = min(EDGE_BYTES, disk.size_bytes)
            proof = [(0, edge), (disk.size_bytes - edge, edge)]
            for offset, length in proof:
                yield length / ZERO_BYTES_PER_S
                disk.zero(offset, length)
        yield sum(length for _, length in proof) / CHECKSUM_BYTES_PER_S
        for offset, length in proof:
            if any(extent.content for extent in disk.read(offset, length)):
                raise CommandFailed(
                    "wipe-not-proven", f"{device_of(disk)} does not read as zeros after the wipe"
                )
        return {"devices": [device_of(disk)], "mode": params["mode"]}

    def flush(self, params: Mapping[str, Any]) -> Steps:
        yield QUICK_S
        return {"devices": [device_of(self._host.disk)]}


COMMANDS: Mapping[str, Callable[[Workbench, Mapping[str, Any]], Steps]] = {
    "inventory": Workbench.inventory,
    "export_disk": Workbench.export_disk,
    "withdraw_disk": Workbench.withdraw_disk,
    "checksum_disk": Workbench.checksum_disk,
    "partition_disk": Workbench.partition_disk,
    "grow_root": Workbench.grow_root,
    "make_ephemeral": Workbench.make_ephemeral,
    "make_swap": Workbench.make_swap,
    "write_config_drive": Workbench.write_config_drive,
    "wipe": Workbench.wipe,
    "flush": Workbench.flush,
}


def device_of(disk: Disk) -> str:
    return f"/dev/{disk.name}"


def _table(root_uuid: str, whole: bool, image_end: int, spans: Mapping[str, tuple[int, int]]) -> str:
    told = {"root_uuid": root_uuid, "whole": whole, "image_end": image_end, "spans": spans}
    return "gpt:" + json.dumps(told, sort_keys=True)


def _last_block(table: Mapping[str, Any]) -> int:
    """Of the root's partition, which reaches to the first of the others: where it begins."""
    return int(min(offset for offset, _ in table["spans"].values())) - BLOCK_BYTES


def around(disk: Disk, drives: Mapping[str, Mapping[str, str]]) -> Around:
    """What was made on it around an image, whether or not a system could read it. drives: as of `Host`."""
    table = _named_table(disk.extents(0, SECTOR_BYTES)[0])
    if table is None:
        return Around()

    def made(offset: int, length: int, kind: str) -> str:
        """Its name; empty: it isn't there. Whether the disk kept each byte, nobody has looked."""
        names = [one.content.removeprefix("not ") for one in disk.extents(offset, length)]
        return next((name for name in names if name.startswith(f"{kind}:")), "")

    spans: Mapping[str, tuple[int, int]] = table["spans"]
    found = {kind: made(offset, min(length, MIB), kind) for kind, (offset, length) in spans.items()}
    last = _last_block(table)
    grown = made(last, BLOCK_BYTES, GROWN) if last >= table["image_end"] else ""
    told = disk.extents(table["spans"]["config"][0], 1)[0].content
    metadata = json.loads(drives.get(told, {}).get("meta-data", "{}"))
    return Around(
        root_fills=bool(grown) or last < table["image_end"],
        ephemeral_mib=spans["ephemeral"][1] // MIB if found["ephemeral"] else 0,
        swap_mib=spans["swap"][1] // MIB if found["swap"] else 0,
        hostname=metadata.get("local-hostname", ""),
        made=tuple(filter(None, (grown, found["ephemeral"], found["swap"]))),
    )


def table_of(disk: Disk) -> dict[str, Any]:
    """The partition table that the agent wrote, as the content of the first sector names it."""
    table = _named_table(disk.read(0, SECTOR_BYTES)[0])
    if table is None:
        raise CommandFailed("no-partition-table", f"{device_of(disk)} has no partition table")
    return table


def _named_table(first: Extent) -> dict[str, Any] | None:
    """None: what lies in the first sector is no partition table."""
    if not first.content.startswith("gpt:"):
        return None
    found: dict[str, Any] = json.loads(first.content.removeprefix("gpt:"))
    return found
