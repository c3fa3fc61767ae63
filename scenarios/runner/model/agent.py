"""The agent in a deploy ramdisk of the model: docs/agent-protocol.md on a disk that is a list of extents.

Runs on the machine's side of the wires: it dies with the machine, and lives on when a compute host dies.
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bmsim.devices.disk import Disk, DiskError
from scenarios.runner.model.contents import MIB, digest_of_range
from scenarios.runner.processes import as_world

LUN = 1
PORTAL_PORT = 3260
EDGE_BYTES = 16 * MIB
TABLE_BYTES = 34 * 512
"""A GPT: protective MBR, header, 128 entries. Its copy lies at the end of the disk."""

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
class Command:
    id: str
    name: str
    sender: str
    ended: asyncio.Future[Mapping[str, Any]]
    error: CommandFailed | None = None
    work: Steps | None = None
    timer: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        return not self.ended.done()


@dataclass(frozen=True, slots=True)
class Refusal:
    """status and code as in the protocol's table. running: the command in hand, for "busy"."""

    status: int
    code: str
    detail: str = ""
    running: str = ""


@dataclass(slots=True)
class Export:
    iqn: str
    user: str
    password: str = field(repr=False)


class ModelAgent:
    """One boot of it. note: the device's own record of what it was told."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: Host,
        *,
        node_id: str,
        boot_id: str,
        token: str,
        note: Callable[..., None],
    ) -> None:
        self._loop = loop
        self.host = host
        self.node_id = node_id
        self.boot_id = boot_id
        self.token = token
        self.fence = 0
        self.alive = True
        self.export: Export | None = None
        self._note = note
        self._commands: dict[str, Command] = {}
        self._current: Command | None = None

    def die(self) -> None:
        """The machine stops; nobody is told, and whoever waits waits on."""
        self.alive = False
        if self._current is not None and self._current.timer is not None:
            self._current.timer.cancel()

    def admits(self, token: str) -> bool:
        return token == self.token

    def give(
        self, id: str, name: str, params: Mapping[str, Any], fence: int, sender: str
    ) -> Command | Refusal:
        if fence < self.fence:
            return Refusal(403, "stale-fence", f"fence {fence} is older than {self.fence}")
        if fence > self.fence:
            self._superseded(fence)
        if known := self._commands.get(id):
            return known
        if self._current is not None and self._current.running:
            return Refusal(409, "busy", f"{self._current.name} runs", self._current.id)
        work = _COMMANDS.get(name)
        if work is None:
            return Refusal(400, "unknown-command-name", f"there is no command {name}")
        command = Command(id, name, sender, self._loop.create_future(), work=work(self, params))
        self._commands[id] = self._current = command
        self._note("agent", "command", sender, command=name, fence=fence)
        self._advance(command)
        return command

    def find(self, id: str) -> Command | None:
        return self._commands.get(id)

    def cancel(self, id: str, fence: int) -> None:
        command = self._commands.get(id)
        if command is not None and command.running and fence >= self.fence:
            self._end(command, CommandFailed("cancelled", "cancelled"))

    def _superseded(self, fence: int) -> None:
        self.fence, self.export = fence, None
        if self._current is not None and self._current.running:
            self._end(self._current, CommandFailed("superseded", f"fence {fence} took over"))

    def _advance(self, command: Command) -> None:
        assert command.work is not None
        try:
            pause_s = next(command.work)
        except StopIteration as done:
            command.ended.set_result(done.value)
        except CommandFailed as error:
            self._end(command, error)
        except DiskError as error:
            self._end(command, CommandFailed("disk-error", f"{device_of(self.host.disk)}: {error}"))
        else:
            command.timer = as_world(self._loop.call_later, pause_s, self._advance, command)

    def _end(self, command: Command, error: CommandFailed) -> None:
        if command.timer is not None:
            command.timer.cancel()
        command.error = error
        command.ended.set_result({})

    # --- commands -------------------------------------------------------------------------------

    def _disk(self) -> Disk:
        disk = self.host.disk
        if not disk.present:
            raise CommandFailed("disk-missing", f"can't open {device_of(disk)}: No such file or directory")
        return disk

    def _inventory(self, params: Mapping[str, Any]) -> Steps:
        yield QUICK_S
        host, disks = self.host, []
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
            "disks": disks,
            "nics": [nic],
        }

    def _export_disk(self, params: Mapping[str, Any]) -> Steps:
        yield QUICK_S
        self._disk()
        self.export = Export(params["iqn"], params["chap_user"], params["chap_password"])
        self._note("iscsi", "exported", self._sender, iqn=params["iqn"])
        return {"portal_port": PORTAL_PORT, "iqn": params["iqn"], "lun": LUN, "thin": True, "zeroed": False}

    def _withdraw_disk(self, params: Mapping[str, Any]) -> Steps:
        self.export = None
        yield QUICK_S
        return {}

    def _checksum_disk(self, params: Mapping[str, Any]) -> Steps:
        disk, offset, size = self._disk(), params["offset_bytes"], params["size_bytes"]
        if offset + size > disk.size_bytes:
            raise CommandFailed("disk-too-small", f"{device_of(disk)} has {disk.size_bytes} bytes")
        yield QUICK_S + disk.takes_s(size / CHECKSUM_BYTES_PER_S)
        return {"tree_digest": digest_of_range(disk.read(offset, size))}

    def _partition_disk(self, params: Mapping[str, Any]) -> Steps:
        disk = self._disk()
        whole = params["layout"] == "whole_disk"
        swap, drive = params["swap_mib"] * MIB, params["config_drive_mib"] * MIB
        end = disk.size_bytes - MIB
        if params["root_offset_bytes"] + params["root_size_bytes"] + swap + drive > end:
            raise CommandFailed("disk-too-small", f"{device_of(disk)} has {disk.size_bytes} bytes")
        yield QUICK_S
        device = device_of(disk)
        layout = {
            "root_device": f"{device}1",
            "root_fstype": "ext4",
            "root_uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"root:{self.node_id}")),
            "root_partuuid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"part:{self.node_id}")),
            "swap_device": f"{device}2" if swap else None,
            "config_device": f"{device}3",
        }
        spans = {"config": (end - drive, drive), "swap": (end - drive - swap, swap)}
        # Of an image's own table the first and the last sectors alone are written anew.
        disk.write(0, TABLE_BYTES, _table(layout["root_uuid"] or "", whole, spans))
        yield QUICK_S
        disk.write(disk.size_bytes - TABLE_BYTES, TABLE_BYTES, "gpt-copy")
        return layout

    def _grow_root(self, params: Mapping[str, Any]) -> Steps:
        yield QUICK_S
        return {"grown": True, "fstype": "ext4", "size_bytes": self._disk().size_bytes}

    def _make_swap(self, params: Mapping[str, Any]) -> Steps:
        yield QUICK_S
        offset, length = table_of(self._disk())["spans"]["swap"]
        self._disk().write(offset, min(length, MIB), "swap")
        return {"uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"swap:{self.node_id}"))}

    def _write_config_drive(self, params: Mapping[str, Any]) -> Steps:
        yield QUICK_S
        files = {name: base64.b64decode(text).decode() for name, text in params["files"].items()}
        content = f"config-drive:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(files, sort_keys=True))}"
        self.host.drives[content] = files
        offset, length = table_of(self._disk())["spans"]["config"]
        self._disk().write(offset, length, content)
        return {"label": "CIDATA", "files": sorted(files)}

    def _wipe(self, params: Mapping[str, Any]) -> Steps:
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

    def _flush(self, params: Mapping[str, Any]) -> Steps:
        yield QUICK_S
        return {"devices": [device_of(self.host.disk)]}

    @property
    def _sender(self) -> str:
        return self._current.sender if self._current is not None else ""


_COMMANDS: Mapping[str, Callable[[ModelAgent, Mapping[str, Any]], Steps]] = {
    "inventory": ModelAgent._inventory,
    "export_disk": ModelAgent._export_disk,
    "withdraw_disk": ModelAgent._withdraw_disk,
    "checksum_disk": ModelAgent._checksum_disk,
    "partition_disk": ModelAgent._partition_disk,
    "grow_root": ModelAgent._grow_root,
    "make_swap": ModelAgent._make_swap,
    "write_config_drive": ModelAgent._write_config_drive,
    "wipe": ModelAgent._wipe,
    "flush": ModelAgent._flush,
}


def device_of(disk: Disk) -> str:
    return f"/dev/{disk.name}"


def _table(root_uuid: str, whole: bool, spans: Mapping[str, tuple[int, int]]) -> str:
    return "gpt:" + json.dumps({"root_uuid": root_uuid, "whole": whole, "spans": spans}, sort_keys=True)


def table_of(disk: Disk) -> dict[str, Any]:
    """The partition table that the agent wrote, as the content of the first sector names it."""
    content = disk.read(0, 512)[0].content
    if not content.startswith("gpt:"):
        raise CommandFailed("no-partition-table", f"{device_of(disk)} has no partition table")
    found: dict[str, Any] = json.loads(content.removeprefix("gpt:"))
    return found
