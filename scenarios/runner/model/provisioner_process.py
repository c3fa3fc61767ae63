"""The provisioner's own code as one process of the model: API, scheduler and compute host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from fastapi import FastAPI

from provisioner.api.address_pool import AddressPool
from provisioner.api.application import build_app
from provisioner.api.context import ApiContext
from provisioner.api.metrics import Metrics
from provisioner.app.power_devices import PowerDevices
from provisioner.compute.devices import PowerPolicy, PowerSequencer
from provisioner.compute.edges import DeployPolicy, DeployRamdisk, Edges
from provisioner.compute.evidence import Evidence
from provisioner.compute.host import ComputeHost
from provisioner.compute.lease import LeaseKeeper
from provisioner.compute.progress import ProgressBoard
from provisioner.core.model import Node
from provisioner.drivers import grub, ipxe, tilera, uboot
from provisioner.drivers.ipmi import IpmiDevices
from provisioner.drivers.offer_publisher import OfferPublisher
from provisioner.drivers.outlet_feeds import FeedDevices
from provisioner.drivers.snmp import SnmpDevices
from provisioner.drivers.tile_monitor import TileMonitor
from provisioner.protocols.agent import AgentClient
from provisioner.protocols.clock import Clock
from provisioner.protocols.console import ConsoleBook
from provisioner.protocols.events import WireEvent
from provisioner.protocols.ids import Ids
from provisioner.protocols.image import ImageWriter
from provisioner.protocols.probe import PingProbe, SshProbe
from provisioner.protocols.roots import RootFolders
from provisioner.protocols.store import Store
from provisioner.scheduler.scheduler import Scheduler
from scenarios.runner.model.children import ModelChildren
from scenarios.runner.model.contents import BLOBS, ImageServer
from scenarios.runner.model.host_disk import HostDisk
from scenarios.runner.model.ipmitool import ModelIpmitool
from scenarios.runner.model.netboot import LOADERS, ModelNetboot
from scenarios.runner.model.snmp import ModelSnmp
from scenarios.runner.model.tile_monitor import ModelTileMonitor

LEASE_TTL_S, LEASE_TTL_ALONE_S = 5.0, 60.0
"""As by default: of hosts that share a database, and of one that has its own."""

TILE_LEASE_TTL_S, TILE_COMMAND_S = 15.0, 10.0
"""Of hosts that have boards of tilepro64: a command to one must fit into the lease."""

DISCHARGE_S = 5.0
MAX_WRITES = 8
POLL_S = 60.0
"""All processes share one store, whose wake-ups none of them misses: polling is the safety net that it is in
production, without the cost of thousands of looks at nothing."""

RAMDISK = DeployRamdisk(kernel=BLOBS / "agent-kernel", ramdisk=BLOBS / "agent-ramdisk", digest="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What one process finds around it. All of it outlives the process, but `ids` and `children`."""

    host: str
    address: str
    lease_ttl_s: float
    longest_command_s: float
    store: Store
    disk: HostDisk
    clock: Clock
    ids: Ids
    children: ModelChildren
    images: ImageServer
    ipmitool: ModelIpmitool
    snmp: ModelSnmp
    chance: Callable[[], float]
    writer: ImageWriter
    roots: RootFolders
    probe: SshProbe
    ping: PingProbe
    tile_monitor: ModelTileMonitor
    consoles: ConsoleBook
    agent: Callable[[Node, str, str], AgentClient]
    metrics: Metrics
    pool: tuple[IPv4Address, IPv4Address]


class ProvisionerProcess:
    """What `provisioner serve` puts together in `provisioner.app`, over the model's edges."""

    def __init__(self, around: Surroundings) -> None:
        self.app: FastAPI | None = None
        self._around = around
        self._evidence = Evidence(around.store, around.clock)
        self.netboot = ModelNetboot(around.address, self._heard, around.disk)
        self._main: asyncio.Task[None] | None = None
        self._host: ComputeHost | None = None
        self._leaves = self._ends = False

    def _heard(self, event: WireEvent) -> None:
        self._evidence(event)

    async def run(self) -> None:
        """Until it was told to end and has, or until its process is killed."""
        self._main = asyncio.current_task()
        try:
            await self._serve()
        except asyncio.CancelledError:
            if not self._ends:
                raise

    async def end(self, *, at_once: bool) -> None:
        """As `provisioner.app.serve` takes signals: SIGTERM, and as the second one, or `at_once`, SIGINT."""
        assert self._main is not None, "whoever is told anything runs"
        if at_once or self._leaves or self._host is None:
            self._ends = True
            self._main.cancel()
        else:
            self._leaves = True
            self._host.leave()

    async def _serve(self) -> None:
        around = self._around
        progress = ProgressBoard()
        self._host = host = ComputeHost(self._edges(progress))
        context = ApiContext(
            store=around.store,
            ids=around.ids,
            clock=around.clock,
            images=around.images,
            seal=seal,
            unseal=unseal,
            pool=AddressPool(*around.pool),
            power_drivers=frozenset(("ipmi", "snmp", "feeds")),
            deploy_drivers=frozenset(("iscsi", "nfs")),
            metrics=around.metrics,
            consoles=around.consoles,
            progress=progress.get,
            ready=host.ready.is_set,
        )
        app = build_app(context)
        scheduler = Scheduler(around.store, around.clock, around.ids, POLL_S)
        async with asyncio.TaskGroup() as group, app.router.lifespan_context(app):
            beside = [group.create_task(around.children.serve_dhcp(), name="dhcp")]
            compute = group.create_task(host.run(), name="compute")
            beside.append(group.create_task(scheduler.run(), name="scheduler"))
            beside.append(group.create_task(self._answer_once_ready(host, app), name="api"))
            await compute
            for one in beside:
                one.cancel()

    async def _answer_once_ready(self, host: ComputeHost, app: FastAPI) -> None:
        await host.ready.wait()
        self.app = app

    def _edges(self, progress: ProgressBoard) -> Edges:
        around = self._around
        lease = LeaseKeeper(
            around.store,
            around.clock,
            around.host,
            around.lease_ttl_s,
            holder=around.host,
            longest_command_s=around.longest_command_s,
            lasts_until=around.children.lasts_until,
        )
        snmp = SnmpDevices(around.snmp, discharge_s=DISCHARGE_S, chance=around.chance)
        feeds = FeedDevices({"snmp": snmp})
        devices = PowerDevices({"ipmi": IpmiDevices(around.ipmitool), "snmp": snmp, "feeds": feeds}, unseal)
        return Edges(
            store=around.store,
            clock=around.clock,
            ids=around.ids,
            lease=lease,
            poll_s=POLL_S,
            evidence=self._evidence,
            power=PowerSequencer(lease, around.clock, PowerPolicy()),
            device=devices.device,
            publisher=OfferPublisher(
                [self.netboot],
                {
                    "ipxe": ipxe.dialect(self.netboot.url, LOADERS),
                    "uboot": uboot.make_offer,
                    "tilera": tilera.make_offer,
                    "grub": grub.dialect(lambda arch: Path(grub.LOADER)),
                },
            ),
            writer=around.writer,
            roots=around.roots,
            agent=around.agent,
            blob=around.images.path,
            ramdisk=lambda arch: RAMDISK,
            seal=seal,
            unseal=unseal,
            consoles=around.consoles,
            probe=around.probe,
            ping=around.ping,
            monitor=TileMonitor(around.tile_monitor, Path("tile-monitor"), timeout_s=TILE_COMMAND_S),
            progress=progress,
            meter=around.metrics,
            policy=DeployPolicy(),
            node_url=self.netboot.url,
            initiator_address=around.address,
            netmask="255.255.255.0",
            write_turns=asyncio.Semaphore(MAX_WRITES),
        )


def seal(text: str) -> str:
    """Encryption takes entropy, of which a replayed world has none: here it only turns secrets round."""
    return text[::-1]


def unseal(text: str) -> str:
    return text[::-1]
