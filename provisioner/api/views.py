"""Records as the API shows them: never a secret, and never a field by accident (each is named)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from provisioner.api.disclosure import event_for, instance_for
from provisioner.core.capacity import Size
from provisioner.core.ec2_ids import account_of
from provisioner.core.model import (
    AccessKey,
    ApiToken,
    AuditRecord,
    Flavor,
    Host,
    Image,
    Instance,
    KeyPair,
    Node,
    NodeRequest,
    Port,
    Tenant,
    TimelineEvent,
    User,
    Work,
)
from provisioner.core.outlet_urls import shown_address
from provisioner.core.roles import Principal
from provisioner.core.shown_url import shown_url
from provisioner.protocols.power import DeviceSilence

View = dict[str, Any]


def _pick(record: Any, *names: str) -> View:
    return {name: getattr(record, name) for name in names}


def node(
    record: Node,
    ports: Iterable[Port],
    progress: float | None = None,
    instance_name: str | None = None,
    silence: DeviceSilence | None = None,
) -> View:
    view = _pick(
        record,
        *("id", "name", "arch", "firmware", "cpus", "memory_mib", "disk_mib"),
        *("boot_driver", "deploy_driver", "power_driver", "zone", "rack", "reserved_for"),
        *("state", "power_state", "maintenance", "maintenance_reason", "owner", "fence", "instance_id"),
        *("wipe_owed", "deploy_failures", "inventory", "created_at", "updated_at"),
    )
    view["instance"] = instance_name
    view["power_address"] = shown_address(record.power_address)
    view["root_device"] = dict(record.root_device_hint)
    view["keep_disks"] = [dict(disk) for disk in record.keep_disks]
    view["capabilities"] = dict(record.capabilities)
    view["ports"] = [{"mac": port.id, "address": port.address, "boot": port.boot} for port in ports]
    view["failure"] = asdict(record.failure) if record.failure else None
    view["power_device_silence"] = asdict(silence) if silence else None
    view["published"] = record.publication.kind
    view["work"] = work(record.work, progress)
    return view


def work(record: Work | None, progress: float | None) -> View | None:
    """Not its facts: they are the steps' own business."""
    if record is None:
        return None
    return _pick(record, "plan", "step", "entered_at", "retries") | {"progress": progress}


def image(record: Image) -> View:
    view = _pick(
        record,
        *("id", "name", "kind", "format", "arch", "state", "sha256", "size_bytes", "virtual_size_bytes"),
        *("tree_digest", "kernel_id", "ramdisk_id", "command_line", "proof_of_life"),
        *("tenant", "public", "created_at", "updated_at"),
    )
    # Whoever may see the image may not see what lets others fetch it.
    view["source_url"] = shown_url(record.source_url)
    view["failure"] = asdict(record.failure) if record.failure else None
    return view


def flavor(record: Flavor) -> View:
    return asdict(record)


def key(record: KeyPair) -> View:
    return _pick(record, "id", "name", "public_key")


def instance(
    who: Principal, record: Instance, node_name: str | None = None, power: str | None = None
) -> View:
    """As `who`, who may see it, is told of it. power: of its machine, while it is active."""
    record = instance_for(who, record)
    view = _pick(
        record,
        *("id", "name", "image_id", "kernel_id", "ramdisk_id", "public_key", "proof_of_life", "wipe"),
        *("state", "delete_requested", "node_id", "address", "waiting_for", "created_at", "updated_at"),
        *("tenant", "key_name", "reservation_id", "zone"),
    )
    view["host"] = record.host_name
    view["flavor"] = record.flavor.name
    view["node"] = node_name or record.node_name
    view["power"] = power
    view["failure"] = asdict(record.failure) if record.failure else None
    return view


def events(who: Principal, records: Iterable[TimelineEvent], settled: int) -> list[View]:
    """As `who`, who may see them, is told of them.

    settled: as `Store.settled` said before they were read. Who asks for those after the last one later must
    not have missed one."""
    return [asdict(event_for(who, record)) for record in records if record.id <= settled]


def host(record: Host, left_s: float, nodes: int, working: int, largest: Size | None) -> View:
    """left_s: for how long it may act; nodes: that it owns; working: those of them that are being worked on;
    largest: that it can still offer."""
    state = "gone" if left_s <= 0 else "serving"
    if left_s > 0 and (record.leaving or record.draining):
        state = "leaving" if record.leaving else "draining"
    return {
        "id": record.id,
        "name": record.id,
        "state": state,
        "nodes": nodes,
        "working": working,
        "largest_free_node": largest._asdict() if largest else None,
        "lease_left_s": round(left_s, 1),
        **_pick(record, "draining", "epoch", "started_at", "renewed_at"),
    }


def request(record: NodeRequest) -> View:
    return asdict(record) | {"instance_id": record.instance_id or None}


def token(record: ApiToken) -> View:
    """By the beginning of its hash: the token itself is nowhere."""
    view = _pick(record, "name", "role", "created_at")
    return view | {"id": record.id[:16], "user": record.user_id}


def access_key(record: AccessKey) -> View:
    return _pick(record, "id", "tenant", "role", "created_at") | {"user": record.user_id or None}


def tenant(record: Tenant) -> View:
    return _pick(record, "id", "created_at") | {"name": record.id, "account": account_of(record.id)}


def user(record: User) -> View:
    return _pick(record, "id", "tenant", "role", "created_at") | {"name": record.id}


def audit_record(record: AuditRecord) -> View:
    view = _pick(record, "id", "at", "tenant", "credential", "address", "operation", "target", "outcome")
    return view | {"user": record.user_id or None, "request_id": record.request_id}
