"""Records for tests: each a healthy default, changed by keyword."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from provisioner.api.credentials import hash_token
from provisioner.core.model import (
    DEFAULT_TENANT,
    ApiToken,
    Flavor,
    Image,
    ImageKind,
    ImageState,
    Instance,
    Node,
    TimelineEvent,
    User,
)
from provisioner.core.roles import Role
from provisioner.core.states import ProvisionState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FLAVOR = Flavor(id="f1", name="baremetal.small", cpus=1, memory_mib=512, disk_mib=1024)


def token_of_admin(token: str, at: datetime) -> tuple[User, ApiToken]:
    """A token that may do everything, and whose it is."""
    user = User(id="admin", tenant=DEFAULT_TENANT, role=Role.ADMIN, created_at=at)
    return user, ApiToken(id=hash_token(token), name="first", user_id=user.id, role=Role.ADMIN, created_at=at)


def flavor(**changes: Any) -> Flavor:
    return replace(FLAVOR, **changes)


def node(**changes: Any) -> Node:
    values: dict[str, Any] = {
        "id": "node-1",
        "name": "n1",
        "arch": "x86_64",
        "firmware": "bios",
        "cpus": 2,
        "memory_mib": 1024,
        "disk_mib": 4096,
        "boot_driver": "ipxe",
        "deploy_driver": "iscsi",
        "power_driver": "fake",
        "power_address": {},
        "state": ProvisionState.AVAILABLE,
        "owner": "host",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Node(**(values | changes))


def image(**changes: Any) -> Image:
    values: dict[str, Any] = {
        "id": "image-1",
        "name": "tiny",
        "kind": ImageKind.ROOT,
        "format": "raw",
        "arch": "x86_64",
        "state": ImageState.ACTIVE,
        "sha256": "ab" * 32,
        "size_bytes": 2**20,
        "virtual_size_bytes": 64 * 2**20,
        "tree_digest": "cd" * 32,
        "kernel_id": "image-k",
        "ramdisk_id": "image-r",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Image(**(values | changes))


def instance(**changes: Any) -> Instance:
    values: dict[str, Any] = {
        "id": "instance-1",
        "name": "web",
        "flavor": FLAVOR,
        "image_id": "image-1",
        "kernel_id": "image-k",
        "ramdisk_id": "image-r",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Instance(**(values | changes))


def event(name: str, **detail: Any) -> TimelineEvent:
    return TimelineEvent(node_id="node-1", instance_id=None, at=NOW, source="test", name=name, detail=detail)
