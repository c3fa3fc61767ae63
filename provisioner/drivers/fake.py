"""A rack in memory, for measuring and modelling what stands above the drivers (`power_driver: fake`).

Its machines keep the protocols' contracts and behave like healthy hardware: no I/O, no threads, and
no time but `delay_s` between power and the running system.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioner.core.errors import ImageInvalid, NotFound, PermanentError, TransientError
from provisioner.core.model import PublicationKind
from provisioner.core.states import PowerState
from provisioner.drivers.fake_agent import DISK_BYTES, BootedAgent, FakeAgent, Written, raw_content
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.events import EventSink, WireEvent
from provisioner.protocols.ids import Ids
from provisioner.protocols.image import DiskTarget
from provisioner.protocols.power import BootDevice, PowerControl, PowerVerb
from provisioner.protocols.roots import made_under

_FENCE = re.compile(r"provisioner\.fence=(\d+)")
_PHONE_HOME = re.compile(r"/phone-home/([0-9A-Za-z]+)")


@dataclass(slots=True)
class Machine:
    """One fake node."""

    name: str
    power: PowerState = PowerState.OFF
    boot_device: BootDevice | None = None
    once: bool = False
    entry: BootEntry | None = None  # what is published for it
    agent: BootedAgent | None = None  # of the ramdisk that runs
    disk: Written | None = None
    more_disks: tuple[Mapping[str, Any], ...] = ()  # beside that one, as its agent reports them
    wiped: tuple[str, ...] = ()  # at last
    config_drive: str = ""
    starting: asyncio.TimerHandle | None = field(default=None, repr=False)


class FakeRack:
    """Machines come into being when they are first named."""

    def __init__(self, sink: EventSink, ids: Ids, *, delay_s: float = 0.0) -> None:
        self._sink = sink
        self._ids = ids
        self.delay_s = delay_s
        self._machines: dict[str, Machine] = {}  # by the node's name
        self._names: dict[str, str] = {}  # node id → name
        self._digests: dict[Path, str] = {}
        self.roots = FakeRoots(self.content)

    def power(self, node_name: str, address: Mapping[str, object], secret: Mapping[str, str]) -> PowerControl:
        """`protocols.power.DeviceFactory`."""
        return FakePower(self, node_name)

    def agent(self, node_id: str, token: str, fence: int) -> FakeAgent:
        """An agent's client."""
        return FakeAgent(lambda: self._booted_agent(node_id), node_id, token, fence)

    def publisher(self) -> FakePublisher:
        return FakePublisher(self)

    def writer(self) -> FakeWriter:
        return FakeWriter(self)

    def machine(self, name: str) -> Machine:
        return self._machines.setdefault(name, Machine(name))

    def publish(self, entry: BootEntry) -> None:
        self._names[entry.node_id] = entry.node_name
        self.machine(entry.node_name).entry = entry

    def withdraw(self, node_id: str) -> None:
        name = self._names.pop(node_id, None)
        if name is not None:
            self.machine(name).entry = None

    def switch(self, machine: Machine, on: bool) -> None:
        """Mains-like: what ran is gone; what starts, starts anew."""
        machine.power = PowerState.ON if on else PowerState.OFF
        machine.agent = None
        if machine.starting is not None:
            machine.starting.cancel()
            machine.starting = None
        if on:
            loop = asyncio.get_running_loop()
            machine.starting = loop.call_later(self.delay_s, self._started, machine)

    def _started(self, machine: Machine) -> None:
        machine.starting = None
        from_disk = machine.boot_device is BootDevice.DISK
        if machine.once:
            machine.boot_device, machine.once = None, False
        entry = machine.entry
        if entry is None:
            return
        if entry.kind is PublicationKind.AGENT and not from_disk:
            fence = _FENCE.search(entry.command_line)
            machine.agent = BootedAgent(
                machine, self._ids.uuid(), entry.token, int(fence[1]) if fence is not None else 0
            )
            self._emit(entry, "agent", "agent.hello", {"boot_id": machine.agent.boot_id})
        elif entry.nfs_root is not None and not from_disk:
            self._phone_home(entry, "".join(self.roots.folders.get(entry.nfs_root.name, {}).values()))
        elif machine.disk is not None and (
            from_disk or entry.kind in (PublicationKind.INSTANCE, PublicationKind.LOCAL_DISK)
        ):
            self._phone_home(entry, machine.config_drive)

    def _phone_home(self, entry: BootEntry, configuration: str) -> None:
        token = _PHONE_HOME.search(configuration)
        if token is not None:
            digest = hashlib.sha256(token[1].encode()).hexdigest()
            self._emit(entry, "http", "instance.phone_home", {"token_sha256": digest})

    def _emit(self, entry: BootEntry, source: str, name: str, detail: Mapping[str, Any]) -> None:
        self._sink(WireEvent(source=source, name=name, node_id=entry.node_id, detail=detail))

    def _booted_agent(self, node_id: str) -> BootedAgent | None:
        name = self._names.get(node_id)
        return self.machine(name).agent if name is not None else None

    def write(self, source: Path, format: str, target: DiskTarget, offset_bytes: int, size: int) -> None:
        """Raises TransientError when the target isn't exported, PermanentError as an image writer does."""
        export = (target.iqn, target.chap_user, target.chap_password)
        agents = (machine.agent for machine in self._machines.values())
        agent = next((agent for agent in agents if agent and agent.export == export), None)
        if agent is None:
            raise TransientError(
                "write the image", device=target.iqn, answer="shut out by a newer export of the disk"
            )
        if format != "raw":
            raise PermanentError(
                "write the image", device=target.iqn, answer=f"a fake disk takes raw images, not {format}"
            )
        if offset_bytes + size > DISK_BYTES:
            raise PermanentError(
                "write the image", device=target.iqn, answer="the disk is too small for the image"
            )
        try:
            content = self.content(source)
        except OSError as error:
            raise PermanentError(
                "write the image", device=target.iqn, answer=f"the image can't be read: {error.strerror}"
            ) from error
        agent.machine.disk = Written(offset_bytes, size, content)

    def content(self, image: Path) -> str:
        """The tree digest of a raw image."""
        if image not in self._digests:
            self._digests[image] = raw_content(image)
        return self._digests[image]


class FakePower:
    """`PowerControl` and `BootDeviceControl` of one machine."""

    longest_command_s = 1.0

    def __init__(self, rack: FakeRack, node_name: str) -> None:
        self._rack = rack
        self._machine = rack.machine(node_name)

    async def power_state(self) -> PowerState:
        return self._machine.power

    async def set_power(self, verb: PowerVerb) -> None:
        is_on = self._machine.power is PowerState.ON
        if verb is PowerVerb.ON:
            if not is_on:
                self._rack.switch(self._machine, True)
        elif verb in (PowerVerb.OFF, PowerVerb.SOFT):
            self._rack.switch(self._machine, False)
        elif is_on:
            self._rack.switch(self._machine, True)

    async def set_boot_device(self, device: BootDevice, *, persistent: bool, uefi: bool) -> None:
        self._machine.boot_device, self._machine.once = device, not persistent

    async def boot_device(self) -> BootDevice | None:
        return self._machine.boot_device


class FakePublisher:
    """`BootPublisher` for the rack's machines."""

    def __init__(self, rack: FakeRack) -> None:
        self._rack = rack

    async def publish(self, entry: BootEntry) -> None:
        self._rack.publish(entry)

    async def withdraw(self, node_id: str, *, root: bool = True) -> None:
        self._rack.withdraw(node_id)

    def roots(self) -> Mapping[str, str]:
        return {}


class FakeWriter:
    """`ImageWriter` to the rack's disks."""

    def __init__(self, rack: FakeRack) -> None:
        self._rack = rack

    async def write(
        self,
        source: Path,
        *,
        format: str,
        target: DiskTarget,
        offset_bytes: int,
        size_bytes: int,
        progress: Callable[[float], None],
    ) -> None:
        self._rack.write(source, format, target, offset_bytes, size_bytes)
        progress(1.0)


class FakeRoots:
    """`protocols.roots.RootFolders` in memory: of each folder, the files added to it, and their text."""

    def __init__(self, content: Callable[[Path], str]) -> None:
        """content: the tree digest of what is in an image."""
        self.folders: dict[str, Mapping[str, str]] = {}
        self.images: set[str] = set()
        self._content = content

    async def make(
        self, name: str, image: Path, *, format: str, digest: str, files: Mapping[str, str]
    ) -> None:
        if self._content(image) != digest:
            raise ImageInvalid("unpack the image", device=f"file {image}", answer="it holds something else")
        self.images.add(image.name)
        self.folders[name] = dict(files)

    async def remove(self, node_id: str, *, fence: int) -> None:
        for name in list(self.folders):
            made = made_under(name, node_id)
            if made is not None and made <= fence:
                del self.folders[name]

    async def names(self) -> Sequence[str]:
        return sorted(self.folders)

    async def unfinished(self) -> Sequence[str]:
        return ()

    async def remove_abandoned(self) -> None:
        pass

    async def unpacked(self) -> Sequence[str]:
        return sorted(self.images)

    async def forget(self, sha256: str) -> bool:
        there = sha256 in self.images
        self.images.discard(sha256)
        return there

    def path(self, name: str) -> Path:
        if name not in self.folders:
            raise NotFound("serve a root by NFS", answer=f"folder {name} isn't there")
        return Path("/roots", name)

    def nfs_path(self, name: str) -> str:
        return f"/{name}"
