"""What the provisioner keeps: one frozen record per kind. The store's tables are made from these.

Conventions: ids are UUID strings; times are aware UTC datetimes from the store's clock; `…_mib`
are 2**20 bytes; a field ending in `_sealed` is encrypted (see `provisioner.services.secret_box`) and is
never shown. Fields holding mappings or tuples are stored as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from provisioner.core.roles import Role
from provisioner.core.states import InstanceState, PowerState, ProvisionState

DEFAULT_TENANT = "default"
"""Whose it is what was there before there were any. It is always there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is being done to a node: a plan, and how far it has come. Lives in the node's row, so
    that one conditional update moves both."""

    id: str
    plan: str
    step: str
    entered_at: datetime  # when `step` was first entered (deadlines count from here)
    retries: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something ended badly, as an operator reads it."""

    code: str
    message: str
    step: str = ""
    last_proven: str = ""
    likely_cause: str = ""


class PublicationKind(StrEnum):
    """What a netbooting node is given: nothing (an address only), the deploy ramdisk with the agent,
    its instance's kernel and ramdisk, or the order to boot its own disk."""

    NOTHING = "nothing"
    AGENT = "agent"
    INSTANCE = "instance"
    LOCAL_DISK = "local_disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What is published for a node now. Kept in its row, so that whoever owns it can publish it anew."""

    kind: PublicationKind = PublicationKind.NOTHING
    token_sealed: str = ""  # path token of its files; for AGENT also the agent's bearer token
    kernel: str = ""  # sha256 of the blob
    ramdisk: str = ""
    command_line: str = ""  # without the token, which is added when published
    root: str = ""  # name of the folder that is its root by NFS


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine to be provisioned."""

    id: str
    name: str  # unique
    arch: str  # x86_64, …
    firmware: str  # bios | uefi | uboot | tilera
    cpus: int
    memory_mib: int
    disk_mib: int
    boot_driver: str  # ipxe, uboot, tilera
    deploy_driver: str  # iscsi, …
    power_driver: str  # ipmi, fake, …
    power_address: Mapping[str, Any]  # what the driver needs to reach the device, without secrets
    power_secret_sealed: str = ""  # JSON object of the secrets, encrypted
    root_device_hint: Mapping[str, Any] = field(default_factory=dict)  # {"serial": …} and the like
    keep_disks: tuple[Mapping[str, Any], ...] = ()  # the like, of disks that are never written to
    zone: str = ""  # in which requests may ask to be placed; empty: core.zones.DEFAULT
    rack: str = ""  # where it stands; instances are spread over them
    reserved_for: str = ""  # the only tenant that may have it; empty: any
    capabilities: Mapping[str, str] = field(
        default_factory=dict
    )  # what its operator says of it: gpu: a100, …
    state: ProvisionState = ProvisionState.ENROLLING
    power_state: PowerState = PowerState.UNKNOWN
    maintenance: bool = False
    maintenance_reason: str = ""
    owner: str | None = None  # compute host
    fence: int = 0  # grows with every change of owner
    instance_id: str | None = None
    wipe_owed: str = ""  # quick | full: what its last instance asked for, until it was done
    work: Work | None = None
    publication: Publication = field(default_factory=Publication)
    failure: Failure | None = None
    inventory: Mapping[str, Any] | None = None  # as its agent reported it
    deploy_failures: int = 0  # by its own fault, since an instance came to run on it or it was mended
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A NIC of a node. `address` is its static reservation on the provisioning network."""

    id: str  # the MAC address, lower case with colons
    node_id: str
    address: str  # IPv4, unique
    boot: bool = True  # netboots from this one


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """One name of an outlet that feeds a node, as `feeds_of` gives it. It comes and goes in the
    transactions in which the node does; a node's power address never changes."""

    id: str  # the name, so that it is one node's; another's too where two shared it before that was so
    name: str
    node_id: str


def boots_with_ramdisk(arch: str) -> bool:
    """Whether a root file system of this architecture is started with a ramdisk beside its kernel."""
    return arch != "tilepro64"


class ImageKind(StrEnum):
    ROOT = "root"  # a file system, deployed with a kernel and a ramdisk (AMI)
    KERNEL = "kernel"  # AKI
    RAMDISK = "ramdisk"  # ARI
    DISK = "disk"  # a whole disk with its own boot loader


class ImageState(StrEnum):
    QUEUED = "queued"  # known, its bytes are not here yet
    SAVING = "saving"
    ACTIVE = "active"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    id: str
    name: str  # unique among its tenant's, and among those that are public
    kind: ImageKind
    format: str  # raw | qcow2
    arch: str
    state: ImageState = ImageState.QUEUED
    sha256: str = ""  # of the bytes as registered; names the blob
    size_bytes: int = 0  # of the blob
    virtual_size_bytes: int = 0  # as a disk
    tree_digest: str = ""  # of the raw content, its algorithm named (provisioner.core.image_digest)
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    command_line: str = ""  # appended to the instance kernel's
    proof_of_life: tuple[str, ...] = ()  # phone_home, ssh_banner, console:<regex>; () = configured default
    source_url: str = ""  # what of it may be shown (core.shown_url)
    source_url_sealed: str = ""  # all of it, where that is more
    source_trusted: bool = False  # an operator's URL, which may lead anywhere, and a member's not
    failure: Failure | None = None
    tenant: str = DEFAULT_TENANT
    public: bool = True  # shared with all tenants; otherwise its own tenant's alone
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageShare:
    """One account that an image is shared with, beside its own tenant. There needn't be such an account:
    who shares doesn't learn who there is."""

    id: str  # image's id:account
    image_id: str
    account: str  # twelve digits, core.ec2_ids.account_of its tenant
    said: str  # what it was called by who shared: a tenant's name, or the account


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    id: str
    name: str  # unique
    cpus: int
    memory_mib: int
    disk_mib: int
    swap_mib: int = 0
    ephemeral_mib: int = 0  # an empty file system beside the root's, gone with the instance
    extra_specs: Mapping[str, str] = field(default_factory=dict)  # cpu_arch: x86_64, …


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    id: str
    name: str  # unique among its tenant's
    public_key: str
    tenant: str = DEFAULT_TENANT
    fingerprint: str = ""  # as EC2 shows it; empty when it was added otherwise
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A request for a machine, and later the machine."""

    id: str
    name: str  # also its hostname
    flavor: Flavor  # as it was when asked for
    image_id: str
    kernel_id: str | None
    ramdisk_id: str | None
    public_key: str = ""
    user_data: str = ""
    node_name: str | None = None  # asked for by name; None = the scheduler chooses
    host_name: str | None = None  # the compute host that is asked for; None = any
    zone: str = ""  # that is asked for; empty: any
    proof_of_life: tuple[str, ...] = ()
    wipe: str = "quick"  # what its deletion does to the disks: quick | full
    state: InstanceState = InstanceState.REQUESTED
    delete_requested: bool = False
    node_id: str | None = None
    address: str = ""
    failure: Failure | None = None
    waiting_for: str = ""  # why the scheduler has not placed it yet, by name
    phone_home_sha256: str = ""  # of the token its proof of life must carry
    tenant: str = DEFAULT_TENANT
    key_name: str = ""  # of the key pair that public_key came from
    reservation_id: str = ""  # of the order that asked for it and its siblings; empty: for it alone
    launch_index: int = 0  # among its siblings
    client_token: str = ""  # that EC2's client gave the order, if any
    failed_on: tuple[str, ...] = ()  # nodes that failed it by their own fault, by id; it is another's then
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A compute host and its lease. Its times are the store's, and for people: other hosts tell by its beat
    whether it lives."""

    id: str  # its name
    epoch: int  # grows with every start, and when it is taken for dead
    beat: int  # grows with every renewal
    ttl_ms: int  # of its lease, from each renewal on
    holder: str  # whoever holds the lease again needn't wait for its end
    renewed_at: datetime
    started_at: datetime  # when this epoch began
    released: bool = False  # it has ended, and said so
    draining: bool = False  # its operator wants it to have no nodes
    leaving: bool = False  # it ends, and hands its nodes over

    @property
    def takes_nodes(self) -> bool:
        """As long as it lives."""
        return not (self.draining or self.leaving or self.released)


class RequestState(StrEnum):
    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRequest:
    """Something that is to be done to a node by its owner at once (power on, …)."""

    id: str
    node_id: str
    instance_id: str | None = None
    """That had the node then: another's machine is not switched by it. Empty: none; None: not told, by a
    process of the version before."""
    verb: str  # power: and on, off, cycle, reset, soft, shutdown or refresh
    state: RequestState = RequestState.PENDING
    answer: str = ""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """One thing that happened to a node: journal and timeline are the same append-only list.

    source: controller | dhcp | tftp | http | agent | board | power | console
    name:   "step.started", "step.done", "step.retry", "step.failed", "dhcp.discover", "http.sent", …
    """

    id: int = 0  # given by the store, ascending
    node_id: str
    instance_id: str | None
    at: datetime
    source: str
    name: str
    step: str = ""
    text: str = ""
    fence: int = 0
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    id: str  # its name
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody, or some program, of a tenant's."""

    id: str  # its name
    tenant: str
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    id: str  # sha256 of the token
    name: str
    user_id: str
    role: Role | None = None  # it may do what both this role and its user's may; None: what its user may
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """What a tenant signs its EC2 requests with."""

    id: str  # AKIA…, as its user names it
    tenant: str
    user_id: str = ""  # empty: the tenant's as a whole
    role: Role | None = None  # as a token's; None and no user: member
    secret_sealed: str  # needed in the clear to verify a signature, so that a hash wouldn't do
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A word that a tenant put on something."""

    id: str  # tenant:resource:key
    tenant: str
    resource_id: str
    resource_type: str  # instance | image | key-pair
    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleTail:
    """What an instance's machine said last, as its host records it: for those who aren't that host."""

    id: str  # the node's
    instance_id: str
    text: str
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One request that changed something, should have, or was refused for want of a right; or requests that
    nobody could be held to."""

    id: int = 0  # given by the store, ascending
    at: datetime
    tenant: str
    user_id: str
    credential: str  # beginning of the token's hash, the access key's id, or `uid N` of who changed keys
    address: str  # where it came from; empty: a UNIX socket
    operation: str  # as in the table of rights
    target: str
    outcome: str  # done | refused | unproven | failed:CODE
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyRecord:
    """The answer once given to an idempotency key; or without one, that a signed request was carried out."""

    id: str  # token id + method + path + key, hashed; or `signed`, when, and the signature, hashed
    request_sha256: str
    status: int
    body: str
    created_at: datetime


Record = (
    Node
    | Port
    | Outlet
    | Image
    | ImageShare
    | Flavor
    | KeyPair
    | Instance
    | Host
    | NodeRequest
    | TimelineEvent
    | Tenant
    | User
    | ApiToken
    | AccessKey
    | Tag
    | ConsoleTail
    | AuditRecord
    | IdempotencyRecord
)
