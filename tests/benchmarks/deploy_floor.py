"""What a deploy can't do without, done by hand on a node that was just deployed: two boots and a qemu-img; of
a root by NFS, a copy of the unpacked image and a boot.

    bmsim rack exec HOST -- .venv/bin/python -m tests.benchmarks.deploy_floor provisioner.yaml NODE

Runs on the compute host while no provisioner does. The node is offered the same files by the same services as
in its deploy, nothing is journaled, verified or retried, and the next thing is done as soon as the last is.
The image is written over itself, so that its first boot is a first boot again; partitions and config drive
stay as the deploy left them. Prints the seconds of each part as JSON.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from provisioner.app.boundary import Boundary, boundary_of
from provisioner.app.power_devices import PowerDevices
from provisioner.app.ramdisks import Ramdisks
from provisioner.compute.publishing import NFS_OPTIONS
from provisioner.compute.steps.boot import CONSOLES, KERNEL_WORDS
from provisioner.compute.steps.image import offset_bytes
from provisioner.compute.steps.nfs import SEED
from provisioner.config.settings import Settings
from provisioner.config.source import load
from provisioner.core.model import Image, Instance, Node, Port, Publication, PublicationKind
from provisioner.core.root_disk import choose_root_disk
from provisioner.core.states import PowerState
from provisioner.protocols.agent import AgentClient
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.children import Argument, SecretFile
from provisioner.protocols.events import WireEvent
from provisioner.protocols.power import BootDevice, BootDeviceControl, PowerVerb
from provisioner.protocols.roots import folder_name
from provisioner.services.children import SystemChildren
from provisioner.services.image_store import ImageStore
from provisioner.services.secret_box import SecretBox
from provisioner.services.ssh_probe import TcpSshProbe
from provisioner.services.state_folder import StateFolder
from provisioner.services.system import RandomIds, SystemClock
from provisioner.store import open_store

PART_DEADLINE_S = 300.0
COMMAND_TIMEOUT_S = 60.0
POLL_S = 0.1


class Heard:
    """What the wire saw: who waits for an event is woken by it."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def __call__(self, event: WireEvent) -> None:
        self._events[event.name].set()

    def forget(self) -> None:
        self._events.clear()

    async def wait_for(self, name: str) -> None:
        await self._events[name].wait()


@dataclass(frozen=True)
class Deployed:
    """What the store knows of the node and what runs on it."""

    node: Node
    port: Port
    image: Image

    @classmethod
    async def read(cls, settings: Settings, name: str) -> Deployed:
        store = open_store(settings.database_url)
        try:
            (node,) = await store.transact(lambda tx: tx.find(Node, where={"name": name}))
            ports = await store.transact(lambda tx: tx.find(Port, where={"node_id": node.id}))
            instance = await store.transact(lambda tx: tx.get(Instance, node.instance_id or ""))
            assert instance is not None, f"node {name} has no instance"
            image = await store.transact(lambda tx: tx.get(Image, instance.image_id))
            assert image is not None, f"the image of {instance.name} is gone"
            return cls(node, next(port for port in ports if port.boot), image)
        finally:
            await store.close()


class Bench:
    def __init__(
        self, settings: Settings, deployed: Deployed, box: SecretBox, rack: Boundary, heard: Heard
    ) -> None:
        self._settings, self._box, self._rack, self._heard = settings, box, rack, heard
        self._node, self._port, self._image = deployed.node, deployed.port, deployed.image
        self._control = PowerDevices(rack.power_drivers, box.open).control(deployed.node)
        self._images = ImageStore(settings.state_dir / "images")

    async def floor(self) -> dict[str, float]:
        """Seconds of each part."""
        return await (self._by_nfs() if self._node.deploy_driver == "nfs" else self._by_iscsi())

    async def _by_nfs(self) -> dict[str, float]:
        await self._switch_off(BootDevice.NETWORK)
        name = folder_name(self._node.id, self._node.fence, "floor")
        copy_s = await self._copy(name)
        await self._rack.publisher.publish(self._instance_entry(name))
        return {"copy of the image": copy_s, "boot of the instance": await self._boot("instance.phone_home")}

    async def _copy(self, name: str) -> float:
        """cp's whole run, and what the instance is to know of itself."""
        roots = self._settings.roots
        deployed, made = roots / "nodes" / self._node.publication.root, roots / "nodes" / name
        copy = ("cp", "--archive", "--reflink=auto", "--no-target-directory")
        began_s = time.monotonic()
        await _run((*copy, str(roots / "images" / self._image.sha256), str(made)))
        await _run(("mkdir", "--parents", str((made / SEED).parent)))
        await _run((*copy, str(deployed / SEED), str(made / SEED)))
        return time.monotonic() - began_s

    async def _by_iscsi(self) -> dict[str, float]:
        netboots = self._node.publication.kind is PublicationKind.INSTANCE
        await self._switch_off(BootDevice.NETWORK)
        token = secrets.token_hex(16)
        await self._rack.publisher.publish(self._ramdisk_entry(token))
        ramdisk_s = await self._boot("agent.hello")
        agent = self._rack.agent(self._node, self._port.address, token)
        write_s = await self._write(agent)
        await agent.run("withdraw_disk", {}, timeout_s=COMMAND_TIMEOUT_S)
        await self._switch_off(BootDevice.NETWORK if netboots else BootDevice.DISK)
        await self._rack.publisher.publish(self._instance_entry())
        instance_s = await self._boot("instance.phone_home")
        return {
            "boot of the ramdisk": ramdisk_s,
            "write of the image": write_s,
            "boot of the instance": instance_s,
        }

    async def _boot(self, sign: str) -> float:
        """Power-on until the first sign; SSH's banner is one of an instance."""
        self._heard.forget()
        began_s = time.monotonic()
        await self._control.set_power(PowerVerb.ON)
        signs = [asyncio.create_task(self._heard.wait_for(sign))]
        if sign == "instance.phone_home":
            signs.append(asyncio.create_task(self._banner()))
        try:
            async with asyncio.timeout(PART_DEADLINE_S):
                seen, _ = await asyncio.wait(signs, return_when=asyncio.FIRST_COMPLETED)
            for task in seen:
                task.result()
        finally:
            for task in signs:
                task.cancel()
        return time.monotonic() - began_s

    async def _banner(self) -> None:
        probe = TcpSshProbe()
        while not await probe.banner(self._port.address):
            await asyncio.sleep(POLL_S)

    async def _switch_off(self, next_boot: BootDevice) -> None:
        await self._control.set_power(PowerVerb.OFF)
        async with asyncio.timeout(PART_DEADLINE_S):
            while await self._control.power_state() is not PowerState.OFF:
                await asyncio.sleep(POLL_S)
        if isinstance(self._control, BootDeviceControl):
            uefi = self._node.firmware == "uefi"
            await self._control.set_boot_device(next_boot, persistent=True, uefi=uefi)

    async def _write(self, agent: AgentClient) -> float:
        """qemu-img's whole run, its flush included."""
        inventory = self._node.inventory or {}
        disk = choose_root_disk(
            inventory["disks"], self._node.root_device_hint, self._image.virtual_size_bytes
        )
        password = secrets.token_hex(16)
        target = await agent.run(
            "export_disk",
            {
                "device": disk["path"],
                "iqn": "iqn.2026-11.provisioner:floor",
                "chap_user": "floor",
                "chap_password": password,
                "initiator_address": str(self._settings.network.address),
            },
            timeout_s=COMMAND_TIMEOUT_S,
        )
        began_s = time.monotonic()
        await _run(self._qemu_img(target, password))
        return time.monotonic() - began_s

    def _qemu_img(self, target: Mapping[str, object], password: str) -> list[Argument]:
        disk = {
            "driver": "raw",
            "offset": offset_bytes(self._image),
            "size": self._image.virtual_size_bytes,
            "file.driver": "iscsi",
            "file.transport": "tcp",
            "file.portal": f"{self._port.address}:{target['portal_port']}",
            "file.target": target["iqn"],
            "file.lun": target["lun"],
            "file.user": "floor",
            "file.password-secret": "chap",
        }
        source = str(self._images.path(self._image.sha256))
        return [
            *("qemu-img", "convert", "--object", SecretFile("secret,id=chap,file=", password)),
            *("-f", self._image.format, "-t", "writeback", "-W", "-m", "16", "-n", "--target-image-opts"),
            *(source, ",".join(f"{name}={value}" for name, value in disk.items())),
        ]

    def _ramdisk_entry(self, token: str) -> BootEntry:
        ramdisk = Ramdisks(self._settings)(self._node.arch)
        words = (
            *(*CONSOLES[self._node.arch], KERNEL_WORDS, f"BOOTIF=01-{self._port.id.replace(':', '-')}"),
            *(f"provisioner.node={self._node.id}", f"provisioner.token={token}"),
            f"provisioner.announce={self._rack.node_url}/agent/v1/hello",
        )
        files = {"kernel": ramdisk.kernel, "ramdisk": ramdisk.ramdisk}
        return self._entry(PublicationKind.AGENT, token, files, " ".join(words))

    def _instance_entry(self, root: str = "") -> BootEntry:
        """root: the folder that it has by NFS."""
        published: Publication = self._node.publication
        files: dict[str, Path] = {}
        if published.kind is PublicationKind.INSTANCE:
            files = {
                "kernel": self._images.path(published.kernel),
                "ramdisk": self._images.path(published.ramdisk),
            }
        token = self._box.open(published.token_sealed)
        if not root:
            return self._entry(published.kind, token, files, published.command_line)
        server = f"{self._settings.network.address}:{self._rack.roots.nfs_path(root)}"
        words = f"root=/dev/nfs nfsroot={server},{NFS_OPTIONS} ip=dhcp rw {published.command_line}"
        return replace(self._entry(published.kind, token, files, words), nfs_root=self._rack.roots.path(root))

    def _entry(
        self, kind: PublicationKind, token: str, files: Mapping[str, Path], command_line: str
    ) -> BootEntry:
        return BootEntry(
            node_id=self._node.id,
            node_name=self._node.name,
            arch=self._node.arch,
            firmware=self._node.firmware,
            boot_driver=self._node.boot_driver,
            macs=(self._port.id,),
            addresses=(self._port.address,),
            kind=kind,
            token=token,
            files=files,
            command_line=command_line,
        )


async def _run(argv: Sequence[Argument]) -> None:
    async with asyncio.timeout(PART_DEADLINE_S), SystemChildren().started(argv) as child:
        complaint = (await child.stderr.read()).decode(errors="replace")
        code = await child.wait()
    assert code == 0, f"{argv[0]} ended with {code}: {complaint}"


@asynccontextmanager
async def bench(config: Path, node: str) -> AsyncIterator[Bench]:
    settings = load(config, Settings)
    heard = Heard()
    with StateFolder(settings.state_dir):
        deployed = await Deployed.read(settings, node)
        box = SecretBox.from_file(settings.secret_key)
        async with boundary_of(settings, heard, SystemClock(), RandomIds(), SystemChildren()) as rack:
            yield Bench(settings, deployed, box, rack, heard)


async def main() -> None:
    config, node = sys.argv[1:]
    # What is told by the way isn't part of the answer.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    async with bench(Path(config), node) as ready:
        print(json.dumps(await ready.floor()))


if __name__ == "__main__":
    asyncio.run(main())
