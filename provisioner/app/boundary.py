"""The drivers and services behind a compute host: those of a real rack, or a rack in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address

import httpx
import structlog

from provisioner.app.power_drivers import power_drivers
from provisioner.app.ramdisks import Ramdisks
from provisioner.config.nfs_folder import exported_name_fault, nfs_folder_fault
from provisioner.config.settings import Settings
from provisioner.core.model import Node
from provisioner.drivers import grub, ipxe, tilera, uboot
from provisioner.drivers.agent_client import HttpAgentClient
from provisioner.drivers.fake import FakeRack
from provisioner.drivers.image_writer import QemuImageWriter
from provisioner.drivers.offer_publisher import OfferPublisher
from provisioner.drivers.snmp_messages import PysnmpMessages
from provisioner.drivers.tile_monitor import TileMonitor
from provisioner.protocols.agent import AgentClient
from provisioner.protocols.board import BoardMonitor, NoBoardMonitor
from provisioner.protocols.boot import BootPublisher
from provisioner.protocols.children import Children
from provisioner.protocols.clock import Clock
from provisioner.protocols.events import EventSink
from provisioner.protocols.ids import Ids
from provisioner.protocols.image import ImageWriter
from provisioner.protocols.netboot import NetbootService
from provisioner.protocols.power import DeviceFactory
from provisioner.protocols.roots import NoRootFolders, RootFolders
from provisioner.services import exportfs, ganesha, metadata
from provisioner.services.dnsmasq import DnsmasqService
from provisioner.services.dnsmasq_config import DhcpNetwork
from provisioner.services.exportfs import ExportfsService
from provisioner.services.ganesha import GaneshaService
from provisioner.services.loaders import find_loaders
from provisioner.services.node_http import NodeHttpService
from provisioner.services.packed_kernels import PackedKernels
from provisioner.services.root_folders import MountedRootFolders
from provisioner.services.tftp import TftpService

log = structlog.get_logger(__name__)

AGENT_PORT = 9999
AGENT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """Where the provisioner ends and the rack begins."""

    power_drivers: Mapping[str, DeviceFactory]
    publisher: BootPublisher
    writer: ImageWriter
    roots: RootFolders
    monitor: BoardMonitor
    agent: Callable[[Node, str, str], AgentClient]
    node_url: str


def boundary_of(
    settings: Settings, sink: EventSink, clock: Clock, ids: Ids, children: Children
) -> AbstractAsyncContextManager[Boundary]:
    """Starts what the settings ask for, its programs as `children`; ends it when left."""
    if settings.rack == "fake":
        return _fake(sink, ids)
    return _real(settings, sink, clock, ids, children)


@asynccontextmanager
async def _fake(sink: EventSink, ids: Ids) -> AsyncIterator[Boundary]:
    rack = FakeRack(sink, ids)
    yield Boundary(
        power_drivers={"fake": rack.power},
        publisher=rack.publisher(),
        writer=rack.writer(),
        roots=rack.roots,
        monitor=NoBoardMonitor(),
        agent=lambda node, address, token: rack.agent(node.id, token, node.fence),
        node_url="http://provisioner",
    )


@asynccontextmanager
async def _real(
    settings: Settings, sink: EventSink, clock: Clock, ids: Ids, children: Children
) -> AsyncIterator[Boundary]:
    network = settings.network
    if fault := nfs_folder_fault(settings):
        if not settings.nfs.nodes_trusted:
            raise fault
        log.warning("nfs.folder_not_apart", cause=fault.message)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        # Agents are on our own network: never through a proxy that the environment names.
        limits = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
        client = await enter(httpx.AsyncClient(trust_env=False, timeout=AGENT_TIMEOUT_S, limits=limits))
        http = await enter(NodeHttpService(str(network.address), network.http_port, sink, clock))
        packed_kernels = PackedKernels(settings.state_dir / "packed-kernels")
        services: list[NetbootService] = [packed_kernels, http]
        messages = PysnmpMessages()
        stack.callback(messages.close)
        nfs, roots = nfs_of(settings, children, clock)
        if nfs is not None:
            await enter(nfs)
        if network.serve_dhcp:
            services.append(await enter(TftpService(str(network.address), sink, clock)))
            dhcp = DhcpNetwork(
                interface=network.interface,
                address=network.address,
                subnet=network.subnet,
                gateway=network.gateway,
                dns=network.dns,
                metadata=IPv4Address(metadata.ADDRESS) if network.metadata != "none" else None,
            )
            folder = settings.state_dir / "dnsmasq"
            services.append(await enter(DnsmasqService(dhcp, folder, children, sink, clock)))
        yield Boundary(
            power_drivers=power_drivers(settings, children, client, messages),
            publisher=OfferPublisher(
                services,
                {
                    "ipxe": ipxe.dialect(http.url, find_loaders()),
                    "uboot": uboot.make_offer,
                    "tilera": tilera.make_offer,
                    "grub": grub.dialect(Ramdisks(settings).loader),
                },
                uboot.packing(packed_kernels.twin),
                nfs,
            ),
            writer=QemuImageWriter(children),
            roots=roots,
            monitor=_monitor_of(settings, children),
            agent=lambda node, address, token: HttpAgentClient(
                address, AGENT_PORT, token, node.fence, client, ids
            ),
            node_url=http.url,
        )


def _monitor_of(settings: Settings, children: Children) -> BoardMonitor:
    tilera = settings.tilera
    if tilera.monitor is None:
        return NoBoardMonitor()
    return TileMonitor(children, tilera.monitor, timeout_s=tilera.command_timeout_s)


def nfs_of(
    settings: Settings, children: Children, clock: Clock
) -> tuple[GaneshaService | ExportfsService | None, RootFolders]:
    """The NFS server that the settings ask for, not yet started, and the folders that it serves. Raises
    InvalidInput when nodes couldn't be told what these are called."""
    # nfs-ganesha follows no symbolic link to what it exports, and the kernel's table names what one leads to.
    own = settings.roots.resolve()
    match settings.nfs.server:
        case "ganesha":
            address, folder = settings.network.address, settings.state_dir / "ganesha"
            server = GaneshaService(address, folder, children, clock)
            return server, MountedRootFolders(own, children, ganesha.nfs_path, settings.host.name)
        case "kernel":
            if fault := exported_name_fault(own):
                raise fault
            folders = MountedRootFolders(own, children, exportfs.nfs_path, settings.host.name)
            return ExportfsService(children, folders.nodes, clock), folders
        case "none":
            return None, NoRootFolders()
