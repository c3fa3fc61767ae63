"""What other tenants have, under words that nothing else says; and all that is kept, to compare it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, get_args

from provisioner.core.ec2_ids import instance_id
from provisioner.core.model import AuditRecord, Failure, Image, ImageState, Instance, Node, Record, Tag
from provisioner.core.states import InstanceState
from provisioner.protocols.store import Tx
from tests.unit.api.conftest import Api, node_entry
from tests.unit.records import event

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFl1bGV0aWRlIHRlc3Qga2V5IG9mIHRoZSBtb2RlbCEh"

HIDDEN = ("reds-user-data", "reds-power-password", "reds-url-password")
"""What nobody is told, whoever oversees all tenants neither."""

_WORDS = re.compile(r"reds-[a-z0-9-]+|crimson")
Kept = dict[tuple[type[Any], Any], Any]


def kept(api: Api) -> Kept:
    """Every record, by its kind and id; but for the audit log, which tells of what was refused too."""
    kinds = [kind for kind in get_args(Record) if kind is not AuditRecord]
    return api.transact(lambda tx: {(kind, one.id): one for kind in kinds for one in tx.find(kind)})


class Planted:
    """The tenant crimson, and one that shares an image with the tenant blue, of which the kernel is its own
    business.

    names: what it has, by the parameters of a path; ids: the same. hidden: what no answer may say to
    anybody; secret: to nobody of another tenant.
    """

    def __init__(self, api: Api) -> None:
        before = kept(api)
        red = api.user_of("crimson", "member")
        key = api.post("/v1/access-keys", {"tenant": "crimson", "role": "member"}, 201)
        token = red.headers["Authorization"].removeprefix("Bearer ")
        self.hidden = {*HIDDEN, key["secret"], token}
        power = dict(node_entry()["power"], address="10.78.0.102", password="reds-power-password")
        node = api.post("/v1/nodes", node_entry("reds-node", 2, reserved_for="crimson", power=power), 201)[
            "id"
        ]
        asked = (
            ("keys", {"name": "reds-key", "public_key": f"{PUBLIC_KEY} reds-public-key"}),
            ("images", {"name": "reds-kernel", "kind": "kernel"}),
            ("images", {"name": "reds-image", "kind": "disk", "command_line": "reds-command-line"}),
            (
                "images",
                {"name": "reds-url", "kind": "disk", "url": "https://red:reds-url-password@reds-mirror/"},
            ),
        )
        made = [red.call("POST", f"/v1/{path}", body).json()["id"] for path, body in asked]
        red.call("PUT", "/v1/images/reds-image/content", content=b"reds" * 512).raise_for_status()
        order = {"name": "reds-web", "flavor": "small", "image": "reds-image", "key": "reds-key"}
        order["user_data"] = "reds-user-data"
        red.headers["Idempotency-Key"] = "reds-order"
        instance = red.call("POST", "/v1/instances", order).json()["id"]
        api.transact(lambda tx: _deploy(tx, node, instance))
        api.run(api.say(node, "reds-console"))
        now = kept(api)
        self.keys = frozenset(now) - frozenset(before)
        """Of its records."""
        self.secret = {id for _, id in self.keys if isinstance(id, str) and len(id) > 16}
        self.secret |= {key["id"], instance_id(instance), "10.77.0.199"}
        self.names = {"node": "reds-node", "image": "reds-image", "instance": "reds-web", "key": "reds-key"}
        self.names |= {"tenant": "crimson", "user": "crimson-member", "name": "crimson-member"}
        self.ids = self.names | {"node": node, "image": made[2], "instance": instance, "key": made[0]}
        self.ids |= {"id": key["id"]}
        _share(api)

    def told(self, text: str, *, oversees: bool) -> set[str]:
        """Which of its words stand there."""
        hidden = {word for word in self.hidden if word in text}
        if oversees:
            return hidden
        return hidden | set(_WORDS.findall(text)) | {word for word in self.secret if word in text}


def _deploy(tx: Tx, node: str, instance: str) -> None:
    failure = Failure(code="reds-code", message="reds-failure")
    running = {"state": InstanceState.ACTIVE, "node_id": node, "address": "10.77.0.199", "failure": failure}
    tx.update(Instance, instance, running | {"waiting_for": "reds-reason"})
    tx.update(Node, node, {"instance_id": instance, "failure": failure, "maintenance_reason": "reds-care"})
    said = replace(event("reds-event", said="reds-detail"), node_id=node, instance_id=instance)
    resource = instance_id(instance)
    tag = Tag(
        id=f"crimson:{resource}:reds-tag",
        tenant="crimson",
        resource_id=resource,
        resource_type="instance",
        key="reds-tag",
        value="reds-value",
    )
    tx.insert(said, tag)


def _share(api: Api) -> None:
    violet = api.user_of("violet", "member")
    for name, body in (
        ("reds-part", {"kind": "kernel"}),
        ("reds-ramdisk", {"kind": "ramdisk"}),
        ("violets", {"kind": "root", "kernel_id": "reds-part", "ramdisk_id": "reds-ramdisk"}),
    ):
        violet.call("POST", "/v1/images", {"name": name, **body}).raise_for_status()
        violet.call("PUT", f"/v1/images/{name}/content", content=name.encode() * 512).raise_for_status()
    violet.call("PUT", "/v1/images/violets/sharing", {"add": ["blue"]}).raise_for_status()
    failure = Failure(code="reds-code", message="reds-failure of a fetch")

    def spoil(tx: Tx) -> None:
        for part in tx.find(Image, where={"name": "reds-part"}):
            tx.update(Image, part.id, {"state": ImageState.ERROR, "failure": failure})

    api.transact(spoil)
