"""A compute host, put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass

from provisioner.app.boundary import boundary_of
from provisioner.app.power_devices import PowerDevices
from provisioner.app.ramdisks import Ramdisks
from provisioner.compute.breaker import BreakerPolicy, Breakers
from provisioner.compute.devices import PowerPolicy, PowerSequencer
from provisioner.compute.edges import DeployPolicy, Edges, RefreshPolicy
from provisioner.compute.evidence import Evidence
from provisioner.compute.host import ComputeHost
from provisioner.compute.lease import LeaseKeeper
from provisioner.compute.metadata import StoredMetadata
from provisioner.compute.progress import ProgressBoard
from provisioner.compute.told_consoles import ToldConsoles
from provisioner.config.settings import Settings
from provisioner.core.errors import HostLacks
from provisioner.core.model import Node, Port
from provisioner.protocols.clock import Clock
from provisioner.protocols.events import EventSink
from provisioner.protocols.ids import Ids
from provisioner.protocols.meter import StepMeter
from provisioner.protocols.power import Console, DeviceSilence
from provisioner.protocols.store import Store
from provisioner.services.console_log import ConsoleLog
from provisioner.services.icmp_probe import IcmpProbe
from provisioner.services.image_store import ImageStore
from provisioner.services.lease_guard import lease_guard
from provisioner.services.metadata import MetadataService
from provisioner.services.secret_box import SecretBox
from provisioner.services.ssh_probe import TcpSshProbe
from provisioner.services.state_folder import holder_of
from provisioner.services.system import boot_id


@dataclass(frozen=True, slots=True)
class ComputeSide:
    host: ComputeHost
    consoles: ConsoleLog
    progress: ProgressBoard
    breakers: Breakers
    devices: PowerDevices

    def silence(self, node: Node) -> DeviceSilence | None:
        if not self.breakers.count_open():
            return None
        try:
            return self.breakers.silence(self.devices.key(node))
        except HostLacks:  # its secret was sealed by another key: it isn't asked from here
            return None


@asynccontextmanager
async def compute_side(
    settings: Settings,
    store: Store,
    images: ImageStore,
    box: SecretBox,
    clock: Clock,
    ids: Ids,
    meter: StepMeter,
) -> AsyncIterator[ComputeSide]:
    """Its services run while this is entered; `host.run()` does the work."""
    evidence, progress = Evidence(store, clock), ProgressBoard()
    # The state folder is locked: whoever had it, and this host's lease, before on this machine is dead.
    holder = holder_of(settings.state_dir, ids, boot="" if settings.embedded else boot_id())
    async with (
        lease_guard() as guard,
        boundary_of(settings, evidence, clock, ids, guard.children) as boundary,
        _metadata(settings, store, box, evidence, clock),
    ):
        lease = LeaseKeeper(
            store,
            clock,
            settings.host.name,
            settings.lease_ttl_s,
            holder=holder,
            longest_command_s=settings.longest_command_s,
            lasts_until=guard.lasts_until,
        )
        devices = PowerDevices(boundary.power_drivers, box.open)

        async def console_of(node: Node) -> Console | None:
            if not settings.console.capture:
                return None
            if node.boot_driver == "tilera":
                where = {"node_id": node.id, "boot": True}
                (port,) = await store.transact(lambda tx: tx.find(Port, where=where, limit=1))
                return boundary.monitor.console(port.address)
            control = devices.control(node)
            return control if isinstance(control, Console) else None

        consoles = ConsoleLog(settings.state_dir / "consoles", console_of)
        edges = Edges(
            store=store,
            clock=clock,
            ids=ids,
            lease=lease,
            poll_s=settings.poll_s,
            drain_s=settings.host.drain_s,
            evidence=evidence,
            power=PowerSequencer(lease, clock, _power_policy(settings)),
            device=devices.device,
            publisher=boundary.publisher,
            writer=boundary.writer,
            roots=boundary.roots,
            agent=boundary.agent,
            blob=images.path,
            ramdisk=Ramdisks(settings),
            seal=box.seal,
            unseal=box.open,
            consoles=ToldConsoles(consoles, store, clock),
            probe=TcpSshProbe(),
            ping=IcmpProbe(),
            monitor=boundary.monitor,
            progress=progress,
            meter=meter,
            policy=_deploy_policy(settings),
            node_url=boundary.node_url,
            initiator_address=str(settings.network.address),
            netmask=str(settings.network.subnet.netmask),
            write_turns=asyncio.Semaphore(settings.deploy.max_writes),
            refresh=RefreshPolicy(
                interval_s=settings.power.refresh_s, at_once=settings.power.refresh_at_once
            ),
        )
        yield ComputeSide(ComputeHost(edges), consoles, progress, edges.power.breakers, devices)


def _metadata(
    settings: Settings, store: Store, box: SecretBox, sink: EventSink, clock: Clock
) -> AbstractAsyncContextManager[object]:
    """The metadata service, if there is to be one."""
    network = settings.network
    if settings.rack == "fake" or network.metadata == "none":
        return nullcontext()
    source = StoredMetadata(store, region=settings.api.region, network=str(network.subnet))
    return MetadataService(
        source, box, sink, clock, device=network.interface, only_v2=network.metadata == "v2"
    )


def _power_policy(settings: Settings) -> PowerPolicy:
    deploy, power = settings.deploy, settings.power
    return PowerPolicy(
        patience_s=deploy.power_patience_s,
        confirm_s=deploy.power_confirm_s,
        breaker=BreakerPolicy(failures=power.failures_to_leave_alone, longest_pause_s=power.longest_pause_s),
    )


def _deploy_policy(settings: Settings) -> DeployPolicy:
    deploy = settings.deploy
    return DeployPolicy(
        boot_deadline_s=deploy.boot_deadline_s,
        boot_attempts=deploy.boot_attempts,
        resumed_deadline_s=deploy.resumed_deadline_s,
        running_deadline_s=deploy.running_deadline_s,
        write_deadline_s=deploy.write_deadline_s,
        wipe_deadline_s=deploy.wipe_deadline_s,
        proof_of_life=deploy.proof_of_life,
    )
