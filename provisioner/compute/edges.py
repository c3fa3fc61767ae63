"""What a compute host needs of the world, injected by `app`, and how patient it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from provisioner.compute.devices import Device, PowerSequencer
from provisioner.compute.evidence import Evidence
from provisioner.compute.lease import LeaseKeeper
from provisioner.compute.ownership import Hosts
from provisioner.compute.progress import ProgressBoard
from provisioner.core.model import Node
from provisioner.protocols.agent import AgentClient
from provisioner.protocols.board import BoardMonitor
from provisioner.protocols.boot import BootPublisher
from provisioner.protocols.clock import Clock
from provisioner.protocols.console import ConsoleBook
from provisioner.protocols.ids import Ids
from provisioner.protocols.image import ImageWriter
from provisioner.protocols.meter import StepMeter
from provisioner.protocols.probe import PingProbe, SshProbe
from provisioner.protocols.roots import RootFolders
from provisioner.protocols.store import Store, Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployPolicy:
    """Deadlines and bounds of deploys. Every wait has one."""

    boot_deadline_s: float = 600.0  # power on → the agent reports
    boot_attempts: int = 2
    resumed_deadline_s: float = 180.0  # of a boot that began under another process: see `steps.boot.patience`
    running_deadline_s: float = 900.0  # reboot → proof of life
    write_deadline_s: float = 3600.0
    command_deadline_s: float = 300.0  # partition, grow, …
    wipe_deadline_s: float = 4 * 3600.0
    agent_patience_s: float = 15.0  # silence of a running agent that is taken for its death
    agent_poll_s: float = 5.0  # the agent is asked this often in case its announcement was lost
    proof_of_life: tuple[str, ...] = ("phone_home", "ssh_banner")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshPolicy:
    """interval_s: each idle node's power is asked for once in so long; 0: never
    at_once:    nodes that are asked at once"""

    interval_s: float = 0.0
    at_once: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployRamdisk:
    """Kernel and ramdisk with the agent, for one architecture."""

    kernel: Path
    ramdisk: Path
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """The injected world.

    device:    the power device of a node; one `turn` per physical device
    agent:     client for (node, address, bearer token)
    blob:      file of an image's sha256
    ramdisk:   deploy ramdisk of an architecture; HostLacks when none was built here
    seal/unseal: encrypt and decrypt short secrets for the node's row
    node_url:  base URL of the node-facing HTTP server
    initiator_address: ours, as the nodes' iSCSI targets see it, and the NFS server of their roots
    netmask:   of the provisioning network
    write_turns: bounds the images that are written at once: this host's disk and network
    drain_s:    how long a host that is to end waits for the work on its nodes
    poll_s:     how often the store is looked at for work when no wake-up comes
    """

    store: Store
    clock: Clock
    ids: Ids
    lease: LeaseKeeper
    evidence: Evidence
    power: PowerSequencer
    device: Callable[[Node], Device]
    publisher: BootPublisher
    writer: ImageWriter
    roots: RootFolders
    agent: Callable[[Node, str, str], AgentClient]
    blob: Callable[[str], Path]
    ramdisk: Callable[[str], DeployRamdisk]
    seal: Callable[[str], str]
    unseal: Callable[[str], str]
    consoles: ConsoleBook
    probe: SshProbe
    ping: PingProbe
    monitor: BoardMonitor
    progress: ProgressBoard
    meter: StepMeter
    policy: DeployPolicy
    node_url: str
    initiator_address: str
    netmask: str
    write_turns: asyncio.Semaphore
    poll_s: float = 2.0
    drain_s: float = 30.0
    refresh: RefreshPolicy = field(default_factory=RefreshPolicy)

    def hosts(self, tx: Tx) -> Hosts:
        """All compute hosts, as this one sees them."""
        return Hosts.seen(tx, self.lease.others, self.lease.host, self.clock.monotonic_s)
