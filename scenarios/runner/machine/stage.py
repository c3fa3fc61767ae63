"""A story's rack, up for real, with the provisioner on its compute hosts."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from bmsim.api import RunningRack
from bmsim.rack.errors import RackError
from fixtures.images.process import BuildError
from provisioner.protocols.roots import made_under
from provisioner.ramdisk import RamdiskError
from scenarios.runner.invariants.requests_seen import RequestsSeen
from scenarios.runner.last_wipes import LastWipes
from scenarios.runner.machine import boot_offers, disks
from scenarios.runner.machine.around import around
from scenarios.runner.machine.beside import Beside
from scenarios.runner.machine.images import PORT as IMAGE_PORT
from scenarios.runner.machine.images import StoryImages
from scenarios.runner.machine.machines_off import MachinesOff
from scenarios.runner.machine.process import BIN
from scenarios.runner.machine.provisioner import POLL_S, Provisioner
from scenarios.runner.machine.rack_file import SUBNETS, addresses, hosts_of, rack_of
from scenarios.runner.machine.ramdisks import make_ramdisks
from scenarios.runner.machine.secrecy import Secrecy
from scenarios.runner.machine.striking import REPLAYED, Striking
from scenarios.runner.machine.systems_seen import SystemsSeen
from scenarios.runner.machine.watching import Watching
from scenarios.runner.stage import TRY_LATER, Answer, DiskTruth, Fidelity, LabTrouble, NoAnswer, Order
from scenarios.runner.story import Story, StoryHost
from scenarios.runner.trace import Event, Origin, Trace

TILE_LEASE_S, TILE_COMMAND_S = 15.0, 10.0
"""A command must fit into the lease."""

TOLD = 5
"""Files that are named of each image that a disk was compared with."""

USER, LOGIN_S = "debian", 60.0
"""Of the fixtures' images; how long a command by SSH may take."""

ANSWER_S = 600.0
"""How long a provisioner that was killed or frozen may be away before the lab counts as broken."""


class MachineStage:
    """`scenarios.runner.stage.Stage` and `invariants.Look`; a context manager that leaves nothing behind."""

    fidelity = Fidelity.MACHINE

    def __init__(self, story: Story, seed: int, name: str, trace: Trace) -> None:
        self.trace = trace
        self.public_key = ""
        self._story = story
        self._seed = seed
        self._name = name
        self._stack = AsyncExitStack()
        self._begun_at = time.time()
        self._disks_now: dict[str, DiskTruth] = {}  # once the story has ended
        self._offers: dict[str, str] = {}  # then, too
        self._besides: list[Beside] = []
        self._owners: dict[str, str] = {}
        self._asked = RequestsSeen()
        trace.listen(self._follow_owners)
        trace.listen(self._asked.see)
        self._systems = SystemsSeen(self._tiles, lambda node: self._rack.console(node), self._asked)
        trace.listen(self._systems.see)
        self._off = MachinesOff()
        trace.listen(self._off.see)
        self._last_wipes = LastWipes(story)
        trace.listen(self._last_wipes.see)

    async def __aenter__(self) -> Self:
        try:
            await self._up()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _up(self) -> None:
        # Short: the paths of sockets end up below it.
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="sc-")))
        await self._build()
        try:
            self._rack = await asyncio.to_thread(
                RunningRack.up, rack_of(self._story, self._name), self._folder
            )
        except RackError as error:
            raise LabTrouble(f"the rack doesn't come up: {error}") from error
        self._stack.push_async_callback(asyncio.to_thread, self._rack.down)
        names = tuple(host.name for host in self._story.hosts)
        self._provisioner = Provisioner(
            self._rack,
            names,
            self._folder,
            self._settings,
            lambda name, host: self._note("host", name, host),
            lambda what, text: self._secrecy.answered(what, text),
        )
        self._stack.push_async_callback(self._provisioner.stop)
        await self._start_besides()
        await self._provisioner.start()
        self.public_key = await asyncio.to_thread(_key, self._folder / "key")
        hosts = {address: host.name for host in self._hosts for address in addresses(host).values()}
        self._watching = Watching(
            self._rack, self._provisioner, self.trace, self._begun_at, hosts, self._besides
        )
        self._watch = asyncio.create_task(self._watching.run(lambda: self._nodes))
        self._stack.push_async_callback(_cancelled, self._watch)

    async def _build(self) -> None:
        try:
            await asyncio.to_thread(make_ramdisks, (node.arch for node in self._story.nodes), "cloud")
            self._images = await asyncio.to_thread(StoryImages, self._story.images, self._folder)
        except (RamdiskError, BuildError) as error:
            raise LabTrouble(f"what the rack's machines boot can't be built: {error}") from error

    async def _start_besides(self) -> None:
        """Programs of the lab on the provisioner's hosts."""
        served = {"port": IMAGE_PORT, "images": self._images.files()}
        image_server = self._beside("image_server", self._provisioner.services_host, served)
        self._besides.append(image_server)
        replayed = any(strike.fault in REPLAYED for strike in self._story.strikes)
        replays = [self._replays(host) for host in self._story.hosts if replayed]
        self._besides += replays
        ears = [self._beside("wire_secrets", host.name, {"interface": "prov0"}) for host in self._story.hosts]
        self._secrecy = Secrecy(ears)
        self._striking = Striking(
            *(self._rack, self._provisioner, image_server, replays),
            *(self._story.images, self._seed, self._note),
        )
        for beside in (*self._besides, *ears):
            self._stack.push_async_callback(asyncio.to_thread, beside.stop)
            await beside.start()

    def _replays(self, host: StoryHost) -> Beside:
        given = {
            "interface": "prov0",
            "server": host.address,
            "nodes": {node.mac: node.name for node in self._story.nodes},
        }
        return self._beside("hello_replays", host.name, given)

    def _beside(self, module: str, host: str, given: Mapping[str, Any]) -> Beside:
        return Beside(self._rack, host, self._folder, f"scenarios.runner.machine.{module}", given)

    @property
    def _nodes(self) -> tuple[str, ...]:
        return tuple(node.name for node in self._story.nodes)

    @property
    def _tiles(self) -> frozenset[str]:
        return frozenset(node.name for node in self._story.nodes if node.is_tile)

    @property
    def _hosts(self) -> tuple[StoryHost, ...]:
        return hosts_of(self._story)

    def _settings(self, name: str) -> dict[str, Any]:
        """Of the provisioner on one of the rack's hosts."""
        address = next(host.address for host in self._hosts if host.name == name)
        has_tiles = any(node.is_tile for node in self._story.nodes)
        return {
            "host": {"name": name, **({"lease_ttl_s": TILE_LEASE_S} if has_tiles else {})},
            **({"nfs": self._nfs_settings()} if any(node.by_nfs for node in self._story.nodes) else {}),
            **({"tilera": self._tilera_settings()} if has_tiles else {}),
            "ramdisk_kernel": "cloud",
            "deploy": {"boot_deadline_s": self._boot_s, "running_deadline_s": 240},
            "network": {
                "interface": "prov0",
                "address": address,
                "subnet": SUBNETS["provisioning"]["subnet"],
                "pool": "10.77.0.100-10.77.0.199",
            },
        }

    @property
    def _boot_s(self) -> int:
        """A healthy boot takes a sixth of a minute, a board's as long again: whoever waits for a lost one
        needn't wait ten minutes. But firmware takes 100 s to give a stalled transfer up."""
        if any(strike.fault == "tftp.stall" for strike in self._story.strikes):
            return 300
        return 100 if all(node.arch == "x86_64" for node in self._story.nodes) else 150

    def _nfs_settings(self) -> dict[str, Any]:
        """Roots lie on storage that the hosts share."""
        return {"server": "ganesha", "folder": str(self._roots), "nodes_trusted": True}

    def _tilera_settings(self) -> dict[str, Any]:
        """Who gives boards of tilepro64 their commands."""
        return {"monitor": str(BIN / "tile-monitor"), "command_timeout_s": TILE_COMMAND_S}

    # --- Stage ---------------------------------------------------------------------------------

    def now_s(self) -> float:
        return time.time() - self._begun_at

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)

    async def news(self, name: str) -> None:
        await asyncio.sleep(2 * POLL_S)

    async def call(self, method: str, path: str, body: Any = None, *, key: str = "") -> Answer:
        since_s = self.now_s()
        try:
            async with asyncio.timeout(ANSWER_S):
                while True:
                    with suppress(httpx.HTTPError, FileNotFoundError):
                        answer = await self._provisioner.call(method, path, body, key=key)
                        if answer.status not in TRY_LATER:
                            return answer
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            log = self._provisioner.log()[-2000:]
            told = f"no answer to {method} {path} for {ANSWER_S:.0f} s: {log}"
            raise NoAnswer(told, since_s) from None

    def image_orders(self, name: str) -> Sequence[Mapping[str, Any]]:
        return self._images.orders(name)

    def owner(self, node: str) -> str:
        return self._owners.get(node) or self._story.hosts[0].name

    def _follow_owners(self, event: Event) -> None:
        if event.source == "lease" and event.name == "owner":
            self._owners[event.node] = event.detail["owner"]

    async def inject(self, order: Order) -> None:
        await self._striking.inject(order)

    async def heal(self, order: Order) -> None:
        await self._striking.heal(order)

    def _note(self, source: str, name: str, host: str, **detail: Any) -> None:
        self.trace.add(
            Event(
                t_s=self.now_s(),
                origin=Origin.STAGE,
                source=source,
                name=name,
                sender=host,
                detail={"host": host, **detail},
            )
        )

    async def login(self, address: str, command: str) -> str:
        """What a command says that is run on an instance, by SSH from the host of the API. Raises
        SubprocessError when it fails, or doesn't end in time."""
        known = f"UserKnownHostsFile={self._folder / 'known_hosts'}"
        options = ("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", known)
        argv = ("ssh", "-i", str(self._folder / "key"), *options, f"{USER}@{address}", command)
        host, run = self._provisioner.services_host, self._rack.run
        told = {"capture_output": True, "text": True, "check": True, "timeout": LOGIN_S}
        return str((await asyncio.to_thread(run, host, argv, **told)).stdout)

    async def settled(self) -> None:
        """All machines are off, their disks are read: nothing of the story goes on after this."""
        await _cancelled(self._watch)
        await self._watching.look(self._nodes)
        ids = {node.name: await self._id_of(node.name) for node in self._story.nodes if node.by_nfs}
        macs = {node.mac: node.name for node in self._story.nodes}
        self._offers = await asyncio.to_thread(boot_offers.of_rack, self._rack, macs)
        await self._provisioner.stop()
        for node in self._story.nodes:
            await self._striking.rack_does(self._rack.inject, node.name, "node.power_loss")
        for node in self._story.nodes:
            truth = DiskTruth(image="", blank=True)  # of a node without a disk
            if not node.is_tile:
                truth = await asyncio.to_thread(self._read_disk, node.name)
            if node.by_nfs:
                truth = await asyncio.to_thread(self._read_roots, ids[node.name], truth)
            self._disks_now[node.name] = truth

    async def _id_of(self, node: str) -> str:
        return str((await self.call("GET", f"/v1/nodes/{node}")).body["id"])

    @property
    def _roots(self) -> Path:
        return self._folder / "roots"

    def _read_roots(self, node_id: str, disk: DiskTruth) -> DiskTruth:
        folders = [
            one for one in (self._roots / "nodes").iterdir() if made_under(one.name, node_id) is not None
        ]
        if not folders:
            return DiskTruth(image="", blank=disk.blank)
        if len(folders) > 1:
            return DiskTruth(image="", blank=False, unlike=f"{len(folders)} folders")
        compared = {
            name: disks.unlike_root_folder(folders[0], self._images.raw(name)) for name in self._story.images
        }
        image, told = _whole(compared)
        return DiskTruth(image=image, blank=False, unlike=told)

    def _read_disk(self, node: str) -> DiskTruth:
        disk = self._disk_file(node)
        compared: dict[str, tuple[str, ...]] = {}
        for name in self._story.images:
            whole_disk = self._images.is_whole_disk(name)
            unlike = disks.unlike_disk_image if whole_disk else disks.unlike_root_image
            compared[name] = unlike(disk, self._images.raw(name))
        image, told = _whole(compared)
        blank = not image and disks.is_blank(disk, whole=self._last_wipes.everywhere(node))
        return DiskTruth(image=image, blank=blank, unlike=told, around=around(disk) if image else None)

    def _disk_file(self, node: str) -> Path:
        return next(self._folder.glob(f"*/nodes/{node}/disk0.*"))

    # --- Look ----------------------------------------------------------------------------------

    def disk(self, node: str) -> DiskTruth | None:
        return self._disks_now.get(node)

    def blank(self, node: str) -> bool | None:
        """While the story goes on: of a machine that is off, both ends, which any wipe leaves blank."""
        if (ended := self._disks_now.get(node)) is not None:
            return ended.blank
        if node not in self._off or node in self._tiles:
            return None
        return disks.is_blank(self._disk_file(node), whole=False)

    def running(self, node: str) -> str | None:
        return self._systems.running(node)

    def ran(self, node: str) -> Sequence[str]:
        return self._systems.ran(node)

    def served(self, node: str) -> str | None:
        """By DHCP, when the story had ended."""
        return self._offers.get(node)

    def secrets(self) -> Iterable[str]:
        yield from self._secrecy.secrets()
        yield from (node.bmc_password for node in self._story.nodes)
        yield from (pdu.community for pdu in self._story.pdus)
        yield self._provisioner.token_file.read_text().strip()
        if self._provisioner.database is not None:
            yield self._provisioner.database.password_file.read_text().strip()

    def told(self) -> Iterable[tuple[str, str]]:
        return self._secrecy.told(self._provisioner.log(), self._nodes, self._rack.console)


def _whole(compared: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """compared: image → its files that aren't there. Returns the image that is there whole; or "", and words
    for what isn't."""
    whole = next((name for name, unlike in compared.items() if not unlike), "")
    if whole:
        return whole, ""
    return "", "; ".join(f"unlike {name}: {_listed(unlike)}" for name, unlike in compared.items())


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
    return ", ".join(names[:TOLD]) + more


def _key(path: Path) -> str:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(argv, check=True, capture_output=True, env={**os.environ})
    return path.with_suffix(".pub").read_text().strip()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
