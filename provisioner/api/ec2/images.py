"""DescribeImages: what is registered and public, its tenant's, or shared with it."""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.api.ec2.answers import time_text
from provisioner.api.ec2.call import Call, Members
from provisioner.api.ec2.filters import Filters, Looks
from provisioner.api.ec2.ids import bounded, find_image
from provisioner.api.ec2.other_filters import OTHERS
from provisioner.api.ec2.paging import page
from provisioner.api.ec2.tags import TagsOf, tag_set, tags_of
from provisioner.api.image_shares import shared_with
from provisioner.api.visible import images_of
from provisioner.core.ec2_ids import account_of, image_id, kernel_id, ramdisk_id
from provisioner.core.model import Image, ImageKind, ImageState
from provisioner.protocols.store import Tx

STATE: Mapping[ImageState, str] = {
    ImageState.QUEUED: "pending",
    ImageState.SAVING: "pending",
    ImageState.ACTIVE: "available",
    ImageState.ERROR: "failed",
}
TYPE: Mapping[ImageKind, str] = {
    ImageKind.ROOT: "machine",
    ImageKind.DISK: "machine",
    ImageKind.KERNEL: "kernel",
    ImageKind.RAMDISK: "ramdisk",
}

_NONE_HAS = (
    *("block-device-mapping.delete-on-termination", "block-device-mapping.device-name"),
    *("block-device-mapping.encrypted", "block-device-mapping.snapshot-id"),
    *("block-device-mapping.volume-size", "block-device-mapping.volume-type"),
    *("hypervisor", "owner-alias", "platform", "product-code", "product-code.type"),
)
"""Answers tell that there are none."""

_LOOKS: Looks[Image] = {
    **dict.fromkeys(_NONE_HAS, lambda image: ()),
    "architecture": lambda image: [image.arch],
    "creation-date": lambda image: [time_text(image.created_at)],
    "image-id": lambda image: [image_id(image)],
    "image-type": lambda image: [TYPE[image.kind]],
    "is-public": lambda image: [str(image.public).lower()],
    "kernel-id": lambda image: [kernel_id(image.kernel_id)] if image.kernel_id else [],
    "manifest-location": lambda image: [image.name],
    "name": lambda image: [image.name],
    "owner-id": lambda image: [account_of(image.tenant)],
    "ramdisk-id": lambda image: [ramdisk_id(image.ramdisk_id)] if image.ramdisk_id else [],
    "root-device-type": lambda image: ["instance-store"],
    "state": lambda image: [STATE[image.state]],
    "state-reason-code": lambda image: [image.failure.code] if image.failure else [],
    "state-reason-message": lambda image: [image.failure.message] if image.failure else [],
    "virtualization-type": lambda image: ["hvm"],
}


def describe_images(tx: Tx, call: Call) -> Members:
    ids = call.given.get("ImageIds")
    found = [find_image(tx, call.tenant, id) for id in bounded(ids)] if ids else images_of(tx, call.tenant)
    owners = call.given.get("Owners")
    if owners:
        wanted_owners = {call.account if owner == "self" else owner for owner in owners}
        found = [image for image in found if account_of(image.tenant) in wanted_owners]
    users = call.given.get("ExecutableUsers")
    if users:
        found = [image for image in found if _is_shared_by(tx, call, image, users)]
    tags = tags_of(tx, call.tenant, [image_id(image) for image in found])
    others = OTHERS["DescribeImages"]
    wanted = Filters(call.given.get("Filters", ()), _LOOKS, lambda image: tags(image_id(image)), others)
    images, token = page(call.given, filter(wanted, found), image_id)
    return {"Images": [_view(image, tags) for image in images], "NextToken": token}


def _is_shared_by(tx: Tx, call: Call, image: Image, users: list[str]) -> bool:
    """By a launch permission of all, of whoever asks (self), or of an account. Of what isn't theirs, their
    own permission alone is told."""
    if image.public and "all" in users:
        return True
    accounts = {call.account if user == "self" else user for user in users}
    if not call.context.who.sees(image.tenant):
        accounts &= {call.account}
    return any(share.account in accounts for share in shared_with(tx, image))


def _view(image: Image, tags: TagsOf) -> Members:
    failure = image.failure
    return {
        "ImageId": image_id(image),
        "ImageLocation": image.name,
        "State": STATE[image.state],
        "OwnerId": account_of(image.tenant),
        "CreationDate": time_text(image.created_at),
        "Public": image.public,
        "ProductCodes": [],
        "Architecture": image.arch,
        "ImageType": TYPE[image.kind],
        "KernelId": kernel_id(image.kernel_id) if image.kernel_id else None,
        "RamdiskId": ramdisk_id(image.ramdisk_id) if image.ramdisk_id else None,
        "Name": image.name,
        "RootDeviceType": "instance-store",
        "BlockDeviceMappings": [],
        "VirtualizationType": "hvm",
        "StateReason": {"Code": failure.code, "Message": failure.message} if failure else None,
        "Tags": tag_set(tags(image_id(image))),
    }
