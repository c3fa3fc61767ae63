"""The agent of a fake machine: the commands of docs/agent-protocol.md on a disk that is a record."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from provisioner.agent import VERSION
from provisioner.core.errors import DeviceUnreachable, LeaseLost, PermanentError
from provisioner.core.image_digest import TreeDigest, tree_digest
from provisioner.protocols.agent import AgentStatus

DEVICE = "/dev/fake0"
DISK_BYTES = 2**42
LUN = 1
READ_BYTES = 2**20

Export = tuple[str, str, str]  # IQN, CHAP user, CHAP password


@dataclass(frozen=True, slots=True)
class Written:
    """What lies on a fake disk."""

    offset_bytes: int
    size_bytes: int
    tree_digest: str


class Hardware(Protocol):
    """What an agent sees of its machine."""

    name: str
    disk: Written | None
    more_disks: tuple[Mapping[str, Any], ...]
    wiped: tuple[str, ...]
    config_drive: str


class BootedAgent:
    """An agent from the boot of its ramdisk to the end of it."""

    def __init__(self, machine: Hardware, boot_id: str, token: str, fence: int = 0) -> None:
        self.machine = machine
        self.boot_id = boot_id
        self.token = token
        self.version = VERSION
        self.fence = fence
        self.export: Export | None = None

    def admit(self, fence: int) -> bool:
        """Whether an owner with this fence may command; a newer one shuts out what the older exported."""
        if fence > self.fence:
            self.fence, self.export = fence, None
        return fence == self.fence

    def run(self, name: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """One command's result. Raises PermanentError for one that doesn't exist."""
        command = _COMMANDS.get(name)
        if command is None:
            error = PermanentError(f"run {name}", answer=f"there is no command {name}")
            error.code = "unknown-command-name"
            raise error
        return command(self, params)

    def _inventory(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        disk = {"path": DEVICE, "size_bytes": DISK_BYTES, "serial": self.machine.name, "model": "fake"}
        return {
            "cpus": 1,
            "memory_mib": 1024,
            "arch": "x86_64",
            "disks": [disk, *self.machine.more_disks],
            "nics": [],
            "traits": [],
        }

    def _export_disk(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self.export = (params["iqn"], params["chap_user"], params["chap_password"])
        return {"portal_port": params.get("portal_port", 3260), "iqn": params["iqn"], "lun": LUN}

    def _withdraw_disk(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self.export = None
        return {}

    def _checksum_disk(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        disk = self.machine.disk
        asked = (params["offset_bytes"], params["size_bytes"])
        if disk is None or asked != (disk.offset_bytes, disk.size_bytes):
            return {"tree_digest": tree_digest([])}
        return {"tree_digest": disk.tree_digest}

    def _partition_disk(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        seed = uuid.uuid5(uuid.NAMESPACE_URL, f"fake:{self.machine.name}")
        ephemeral = f"{DEVICE}p4" if params.get("ephemeral_mib") else None
        swap = f"{DEVICE}p2" if params.get("swap_mib") else None
        return {
            "root_device": f"{DEVICE}p1",
            "root_fstype": "ext4",
            "root_uuid": str(seed),
            "root_partuuid": str(seed),
            "ephemeral_device": ephemeral,
            "swap_device": swap,
            "config_device": f"{DEVICE}p3",
        }

    def _grow_root(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"fstype": "ext4"}

    def _make_ephemeral(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        made = str(uuid.uuid5(uuid.NAMESPACE_URL, f"fake-ephemeral:{self.machine.name}"))
        return {"uuid": made, "label": "ephemeral0"}

    def _make_swap(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"fake-swap:{self.machine.name}"))}

    def _write_config_drive(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        files = params["files"].values()
        self.machine.config_drive = "".join(base64.b64decode(text).decode() for text in files)
        return {}

    def _wipe(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        devices = params["devices"]
        if devices == "all":
            devices = [disk["path"] for disk in self._inventory({})["disks"]]
        if DEVICE in devices:
            self.machine.disk, self.machine.config_drive = None, ""
        self.machine.wiped = tuple(devices)
        return {"devices": devices}

    def _flush(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"devices": [DEVICE]}


_COMMANDS: Mapping[str, Callable[[BootedAgent, Mapping[str, Any]], Mapping[str, Any]]] = {
    "inventory": BootedAgent._inventory,
    "export_disk": BootedAgent._export_disk,
    "withdraw_disk": BootedAgent._withdraw_disk,
    "checksum_disk": BootedAgent._checksum_disk,
    "partition_disk": BootedAgent._partition_disk,
    "grow_root": BootedAgent._grow_root,
    "make_ephemeral": BootedAgent._make_ephemeral,
    "make_swap": BootedAgent._make_swap,
    "write_config_drive": BootedAgent._write_config_drive,
    "wipe": BootedAgent._wipe,
    "flush": BootedAgent._flush,
}


class FakeAgent:
    """`AgentClient` of one node, token and fence."""

    def __init__(self, find: Callable[[], BootedAgent | None], node_id: str, token: str, fence: int) -> None:
        self._find = find
        self._node_id = node_id
        self._device = f"agent of fake node {node_id}"
        self._token = token
        self._fence = fence

    async def status(self) -> AgentStatus:
        agent = self._reach("ask for its status")
        return AgentStatus(
            node_id=self._node_id, boot_id=agent.boot_id, fence=agent.fence, version=agent.version
        )

    async def run(
        self,
        name: str,
        params: Mapping[str, Any],
        *,
        timeout_s: float,
        progress: Callable[[float], None] | None = None,
    ) -> Mapping[str, Any]:
        tried = f"run {name}"
        agent = self._reach(tried)
        if not agent.admit(self._fence):
            answer = f"fence {self._fence} is older than {agent.fence}"
            raise LeaseLost(tried, device=self._device, answer=answer)
        result = agent.run(name, params)
        if progress is not None:
            progress(1.0)
        return result

    def _reach(self, tried: str) -> BootedAgent:
        agent = self._find()
        if agent is None or agent.token != self._token:
            raise DeviceUnreachable(tried, device=self._device, answer="no agent of this boot runs there")
        return agent


def raw_content(source: Path) -> str:
    """What a disk reads back as after the raw image `source` was written to it."""
    digest = TreeDigest()
    with source.open("rb") as file:
        while data := file.read(READ_BYTES):
            digest.update(data)
    return digest.hexdigest()
