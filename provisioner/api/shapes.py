"""What the API answers with when all goes well: the shape of each view, for the OpenAPI document.

An answer isn't checked against them when it is given: its fields are named where the view is made. Tests hold
every answer that they get against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from provisioner.api.instance_power import Power
from provisioner.core.model import ImageKind, ImageState, PublicationKind, RequestState
from provisioner.core.roles import Role
from provisioner.core.states import InstanceState, PowerState, ProvisionState


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Failure(Shape):
    """Why something ended badly."""

    code: str
    message: str
    step: str
    last_proven: str
    likely_cause: str


class Work(Shape):
    """What is being done to a node: a plan, and how far it has come. progress: 0 to 1, of the step, where it
    tells."""

    plan: str
    step: str
    entered_at: datetime
    retries: int
    progress: float | None


class Port(Shape):
    mac: str
    address: str
    boot: bool


class PowerDeviceSilence(Shape):
    """A power device that is left alone because it doesn't answer."""

    failures: int
    retry_in_s: float
    last_error: str


class Node(Shape):
    id: str
    name: str
    arch: str
    firmware: str
    cpus: int
    memory_mib: int
    disk_mib: int
    boot_driver: str
    deploy_driver: str
    power_driver: str
    zone: str
    rack: str
    reserved_for: Annotated[str, Field(description="The only tenant that may have it; empty: any.")]
    capabilities: Mapping[str, str]
    power_address: Mapping[str, Any]
    root_device: Mapping[str, Any]
    keep_disks: tuple[Mapping[str, Any], ...]
    state: ProvisionState
    power_state: PowerState
    maintenance: bool
    maintenance_reason: str
    owner: Annotated[str | None, Field(description="Its compute host.")]
    fence: int
    instance_id: str | None
    instance: Annotated[str | None, Field(description="Its instance's name.")]
    wipe_owed: str
    deploy_failures: Annotated[int, Field(description="By its own fault, since an instance ran on it.")]
    published: PublicationKind
    ports: tuple[Port, ...]
    inventory: Annotated[Mapping[str, Any] | None, Field(description="As its agent reported it.")]
    failure: Failure | None
    power_device_silence: PowerDeviceSilence | None
    work: Work | None
    created_at: datetime
    updated_at: datetime


class NodeRequest(Shape):
    """What an operator wants a node's owner to do at once."""

    id: str
    node_id: str
    instance_id: str | None
    verb: str
    state: RequestState
    answer: str
    created_at: datetime
    updated_at: datetime


class Image(Shape):
    id: str
    name: str
    kind: ImageKind
    format: str
    arch: str
    state: ImageState
    sha256: str
    size_bytes: int
    virtual_size_bytes: int
    tree_digest: str
    kernel_id: str | None
    ramdisk_id: str | None
    command_line: str
    proof_of_life: tuple[str, ...]
    source_url: str
    failure: Failure | None
    tenant: str
    public: Annotated[bool, Field(description="Shared with all tenants.")]
    created_at: datetime
    updated_at: datetime


class SharedImage(Image):
    shared_with: Annotated[
        tuple[str, ...], Field(description="Tenants and accounts; none is told to who isn't its owner.")
    ]


class Instance(Shape):
    id: str
    name: str
    flavor: str
    image_id: str
    kernel_id: str | None
    ramdisk_id: str | None
    public_key: str
    proof_of_life: tuple[str, ...]
    wipe: str
    state: InstanceState
    delete_requested: bool
    power: Annotated[
        Power | None, Field(description="Of its machine, as last seen or ordered; null: it isn't active.")
    ]
    node_id: str | None
    node: Annotated[str | None, Field(description="Its node's name, or the name of the one asked for.")]
    address: str
    waiting_for: Annotated[str, Field(description="Why it has no node yet.")]
    failure: Failure | None
    tenant: str
    key_name: str
    reservation_id: str
    zone: Annotated[str, Field(description="That was asked for; empty: any.")]
    host: Annotated[str | None, Field(description="The compute host that was asked for; null: any.")]
    work: Annotated[Work | None, Field(description="Of its node; told of one instance, not in lists.")] = None
    created_at: datetime
    updated_at: datetime


class RefusedNode(Shape):
    node: str
    why: str


class Placement(Shape):
    """node: the one that an instance would get, or null and why not. refused: of refused_nodes, a thousand at
    most."""

    node: str | None
    why: str
    refused: tuple[RefusedNode, ...]
    refused_nodes: int


class Event(Shape):
    """One thing that happened to a node."""

    id: int
    node_id: str
    instance_id: str | None
    at: datetime
    source: str
    name: str
    step: str
    text: str
    fence: int
    detail: Mapping[str, Any]


class Flavor(Shape):
    id: str
    name: str
    cpus: int
    memory_mib: int
    disk_mib: int
    swap_mib: int
    ephemeral_mib: int
    extra_specs: Mapping[str, str]


class Key(Shape):
    id: str
    name: str
    public_key: str


class NodeSize(Shape):
    memory_mib: int
    cpus: int
    disk_mib: int


class Host(Shape):
    """A compute host. state: serving, draining, leaving or gone."""

    id: str
    name: str
    state: str
    nodes: Annotated[int, Field(description="That it owns.")]
    working: Annotated[int, Field(description="Of these, how many are being worked on.")]
    largest_free_node: Annotated[
        NodeSize | None, Field(description="What it can still offer; null: no node is free.")
    ]
    lease_left_s: float
    draining: bool
    epoch: int
    started_at: datetime
    renewed_at: datetime


class Tenant(Shape):
    id: str
    name: str
    account: Annotated[str, Field(description="Twelve digits, as EC2's clients know it.")]
    created_at: datetime


class User(Shape):
    id: str
    name: str
    tenant: str
    role: Role
    created_at: datetime


class Token(Shape):
    """id: the beginning of its hash. It may do what both its role and its user's may; null: what
    its user may."""

    id: str
    name: str
    user: str
    role: Role | None
    created_at: datetime


class NewToken(Token):
    token: Annotated[str, Field(description="Told here and nowhere else.")]


class AccessKey(Shape):
    """user: null when it is its tenant's as a whole. role: as a token's; without a user, null is member."""

    id: str
    tenant: str
    user: str | None
    role: Role | None
    created_at: datetime


class NewAccessKey(AccessKey):
    secret: Annotated[str, Field(description="Told here and nowhere else.")]


class AuditRecord(Shape):
    """One request. user: null when its access key is its tenant's as a whole. credential: the beginning
    of its token's hash, its access key's id, or the system's user who
    changed keys. outcome: done, refused, or failed: and a code."""

    id: int
    at: datetime
    tenant: str
    user: str | None
    credential: str
    address: str
    operation: str
    target: str
    outcome: str
    request_id: str


class Status(Shape):
    status: str


SHAPES: tuple[type[Shape], ...] = (
    *(Node, NodeRequest, Image, SharedImage, Instance, Placement, Event, Flavor, Key, Host),
    *(Tenant, User, Token, NewToken, AccessKey, NewAccessKey, AuditRecord, Status),
)

PAGES: Mapping[str, type[Shape]] = {
    "/v1/nodes": Node,
    "/v1/nodes/{node}/events": Event,
    "/v1/images": Image,
    "/v1/instances": Instance,
    "/v1/instances/{instance}/timeline": Event,
    "/v1/flavors": Flavor,
    "/v1/keys": Key,
    "/v1/tenants": Tenant,
    "/v1/users": User,
    "/v1/access-keys": AccessKey,
    "/v1/audit": AuditRecord,
    "/v1/hosts": Host,
    "/v1/events": Event,
    "/v1/tokens": Token,
}
"""What a GET of each lists."""

TEXTS = ("/v1/nodes/{node}/console", "/v1/instances/{instance}/console", "/metrics")
"""Answered by plain text."""

SINGLE: Mapping[str, type[Shape]] = {
    "post /v1/nodes": Node,
    "get /v1/nodes/{node}": Node,
    "put /v1/nodes/{node}/maintenance": Node,
    "delete /v1/nodes/{node}/maintenance": Node,
    "put /v1/nodes/{node}/reservation": Node,
    "delete /v1/nodes/{node}/reservation": Node,
    "put /v1/nodes/{node}/disks": Node,
    "put /v1/nodes/{node}/power-device": Node,
    "post /v1/nodes/{node}/power": NodeRequest,
    "get /v1/nodes/{node}/requests/{request_id}": NodeRequest,
    "post /v1/nodes/{node}/verify": Node,
    "post /v1/nodes/{node}/clean": Node,
    "post /v1/images": Image,
    "put /v1/images/{image}/content": Image,
    "put /v1/images/{image}/sharing": SharedImage,
    "get /v1/images/{image}": SharedImage,
    "post /v1/instances": Instance,
    "get /v1/instances/{instance}": Instance,
    "post /v1/instances/{instance}/power": NodeRequest,
    "get /v1/instances/{instance}/requests/{request_id}": NodeRequest,
    "delete /v1/instances/{instance}": Instance,
    "post /v1/placement": Placement,
    "post /v1/flavors": Flavor,
    "get /v1/flavors/{flavor}": Flavor,
    "post /v1/keys": Key,
    "get /v1/keys/{key}": Key,
    "post /v1/tenants": Tenant,
    "post /v1/users": User,
    "put /v1/users/{user}": User,
    "post /v1/access-keys": NewAccessKey,
    "get /v1/hosts/{host}": Host,
    "put /v1/hosts/{host}/drain": Host,
    "delete /v1/hosts/{host}/drain": Host,
    "post /v1/tokens": NewToken,
    "get /healthz": Status,
    "get /readyz": Status,
}
"""What each other operation answers with. Those that delete for good answer with nothing."""
