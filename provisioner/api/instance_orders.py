"""Asking for instances, and giving them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioner.api import views
from provisioner.api.boot_parts import boot_part
from provisioner.api.catalog import find_key
from provisioner.api.context import ApiContext, by_id_or_name
from provisioner.api.named_places import check_places
from provisioner.api.public_keys import checked_key
from provisioner.api.quotas import failed, left, quota
from provisioner.api.visible import find_image, find_instance, is_visible
from provisioner.api.visible_nodes import find_node
from provisioner.core.board_rules import check_user_data
from provisioner.core.deletion import DELETED
from provisioner.core.errors import Conflict, ImageTooLarge, InvalidInput
from provisioner.core.extra_specs import asks_for_another
from provisioner.core.model import Flavor, Image, ImageKind, ImageState, Instance, Node
from provisioner.core.placement.filters import refusal_for_good
from provisioner.core.placement.sizes import disk_needed_mib
from provisioner.core.reservation import is_kept_from
from provisioner.core.roles import Principal
from provisioner.core.states import LIVE, InstanceState
from provisioner.protocols.store import Tx

if TYPE_CHECKING:
    from provisioner.api.instances import InstanceOrder


MAX_USER_DATA_BYTES = 16384
"""As UTF-8. EC2's bound, so that what is asked for by the one door can be by the other."""


def create(tx: Tx, context: ApiContext, order: InstanceOrder) -> views.View:
    """Raises Conflict (name in use, image not ready), NotFound, InvalidInput, ImageTooLarge."""
    tenant = context.who.tenant
    if tx.count(Instance, where={"name": order.name, "tenant": tenant, "state": LIVE}):
        raise Conflict(f"create instance {order.name}", answer="there is one of this name")
    if left(tx, context, tenant) == 0:
        raise _too_many(order.name, tenant, quota(context, tenant), failed(tx, tenant))
    flavor = by_id_or_name(tx, Flavor, "flavor", order.flavor)
    image = _root_or_disk(tx, context.who, order.image)
    kernel, ramdisk = (
        boot_part(tx, image, kind, find_image(tx, context.who, named) if named else None)
        for kind, named in ((ImageKind.KERNEL, order.kernel), (ImageKind.RAMDISK, order.ramdisk))
    )
    _check_ready(tx, context.who, image, kernel, ramdisk)
    check_architecture(flavor, image)
    node = find_node(tx, context.who, order.node) if order.node else None
    check_places(tx, context.who, zone=order.zone, host=order.host)
    _check_size(order.user_data)
    check_user_data(image.arch, order.user_data)
    public_key = checked_key(order.public_key, "public_key") if order.public_key else ""
    if order.key:
        public_key = find_key(tx, tenant, order.key).public_key
    now = tx.now()
    instance = Instance(
        id=context.ids.uuid(),
        name=order.name,
        flavor=flavor,
        image_id=image.id,
        kernel_id=kernel.id if kernel else None,
        ramdisk_id=ramdisk.id if ramdisk else None,
        public_key=public_key,
        user_data=order.user_data,
        node_name=node.name if node else None,
        host_name=order.host,
        zone=order.zone,
        proof_of_life=order.proof_of_life,
        wipe=order.wipe,
        tenant=tenant,
        created_at=now,
        updated_at=now,
    )
    if node is not None:
        _check_fits(node, instance, image)
    tx.insert(instance)
    tx.notify("instances")
    return views.instance(context.who, instance)


def _check_size(user_data: str) -> None:
    size = len(user_data.encode())
    if size > MAX_USER_DATA_BYTES:
        raise InvalidInput(
            "take the user data",
            field="user_data",
            answer=f"it has {size} bytes, of {MAX_USER_DATA_BYTES} that it may have",
            advice="Have it fetch the rest from elsewhere, as by cloud-init's #include",
        )


def _too_many(name: str, tenant: str, most: int | None, failed: int) -> Conflict:
    if most is not None:
        has, which = f"tenant {tenant} has the {most} instances of its quota", "one"
        if failed:
            has, which = (
                f"{has}, failed ones among them: {failed}",
                "failed ones, which count until then",
            )
        return Conflict(
            f"create instance {name}",
            answer=has,
            advice=f"Delete {which}, or have `quotas` of the configuration raised",
        )
    return Conflict(
        f"create instance {name}",
        answer=f"as many instances of tenant {tenant} wait for a node as may",
        advice="Ask again when some have one, delete some, or have `api.limits.waiting_instances` of the "
        "configuration raised",
    )


def deployable(tx: Tx, who: Principal, id_or_name: str) -> Image:
    """Raises NotFound; InvalidInput for a kernel or a ramdisk; Conflict while a part of it isn't active."""
    image = _root_or_disk(tx, who, id_or_name)
    parts = (boot_part(tx, image, kind) for kind in (ImageKind.KERNEL, ImageKind.RAMDISK))
    _check_ready(tx, who, image, *parts)
    return image


def _root_or_disk(tx: Tx, who: Principal, id_or_name: str) -> Image:
    image = find_image(tx, who, id_or_name)
    if image.kind not in (ImageKind.ROOT, ImageKind.DISK):
        raise InvalidInput(
            f"deploy image {image.name}",
            field="image",
            answer=f"it is of kind {image.kind}",
            advice="Deploy a root file system or a whole disk",
        )
    return image


def _check_ready(tx: Tx, who: Principal, image: Image, *parts: Image | None) -> None:
    for found in (image, *parts):
        if found is not None and found.state is not ImageState.ACTIVE:
            raise Conflict(
                f"deploy image {image.name}",
                answer=_why_not(found, visible=is_visible(tx, who, found)),
                advice="Send its bytes, or register it again",
            )


def _why_not(image: Image, *, visible: bool) -> str:
    """visible: whether its name, and what it was that failed, may be told."""
    if not visible:
        return f"the {image.kind} that it boots with is {image.state}"
    return f"image {image.name} is {image.state}" + (f": {image.failure.message}" if image.failure else "")


def check_architecture(flavor: Flavor, image: Image) -> None:
    """Such a request would wait for a node that there can't be. Raises InvalidInput."""
    if wanted := asks_for_another(image.arch, flavor.extra_specs):
        raise InvalidInput(
            f"deploy image {image.name}",
            field="image",
            answer=f"it is for {image.arch}, and flavor {flavor.name} asks for cpu_arch {wanted}",
            advice="Use an image or a flavor of the other's architecture",
        )


def _check_fits(node: Node, instance: Instance, image: Image) -> None:
    """Of a node that was asked for by name. A request that leaves the choice open waits for a node that fits,
    and says so: one may be enrolled any time."""
    tried, flavor = f"deploy image {image.name} to node {node.name}", instance.flavor
    if is_kept_from(node, instance.tenant):
        raise InvalidInput(
            tried,
            field="node",
            answer=f"the node is reserved for tenant {node.reserved_for}, and you are of {instance.tenant}",
            advice="Name another node, or have one of that tenant ask",
        )
    needed_mib = disk_needed_mib(flavor, image, node.deploy_driver)
    if needed_mib > node.disk_mib:
        raise ImageTooLarge(
            tried,
            field="node",
            answer=f"{needed_mib} MiB are needed (image {-(-image.virtual_size_bytes // 2**20)} MiB, flavor"
            f" {flavor.name} {flavor.disk_mib} MiB, {flavor.ephemeral_mib} MiB of ephemeral storage and"
            f" {flavor.swap_mib} MiB of swap, config drive, partition tables), and its disk has"
            f" {node.disk_mib} MiB",
            advice="Name a node with a larger disk or none, or use a smaller image or flavor",
        )
    if (why := refusal_for_good(instance, image, node)) is not None:
        raise InvalidInput(
            tried,
            field="node",
            answer=why,
            advice="Name another node, or use an image and a flavor that this one can carry",
        )


def delete(tx: Tx, who: Principal, id_or_name: str) -> views.View:
    """Idempotent. An instance without a machine is gone at once."""
    instance = find_instance(tx, who, id_or_name)
    # ERROR: when its node failed by its own fault, and no other could carry it.
    unplaced = {"state": (InstanceState.REQUESTED, InstanceState.ERROR), "node_id": None}
    if not tx.update(Instance, instance.id, {**DELETED, "delete_requested": True}, expect=unplaced):
        changes = {"delete_requested": True, "state": InstanceState.DELETING}
        tx.update(Instance, instance.id, changes, expect={"state": LIVE})
    tx.notify("instances", "work", f"instance:{instance.id}")
    if instance.node_id:
        tx.notify(f"node:{instance.node_id}")
    return views.instance(who, find_instance(tx, who, instance.id))
