"""ModifyImageAttribute and DescribeImageAttribute: who may launch an image, its own tenant or all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.api import image_orders
from provisioner.api.ec2.call import Call, Members
from provisioner.api.ec2.errors import Ec2Error, missing, unsupported
from provisioner.api.ec2.ids import find_image
from provisioner.core.ec2_ids import image_id, kernel_id, ramdisk_id
from provisioner.core.model import Image
from provisioner.protocols.store import Tx

ALL = "all"


def modify_image_attribute(tx: Tx, call: Call) -> Members:
    image = find_image(tx, call.tenant, call.given["ImageId"])
    public = _wanted(call.given)
    if public is not image.public:
        image_orders.share(tx, image.id, call.context.who, public=public)
    return {}


def _wanted(given: Members) -> bool:
    """Whether it is to be everybody's, in either of the two ways that EC2 has to say so."""
    if given.get("Attribute", "launchPermission") != "launchPermission":
        raise unsupported(f"The attribute {given['Attribute'][:100]}")
    permission = given.get("LaunchPermission")
    if permission is not None:
        changes = {"add": permission.get("Add", ()), "remove": permission.get("Remove", ())}
    else:
        changes = {given.get("OperationType", ""): _in_old_words(given)}
    named = [kind for kind, who in changes.items() if who]
    if not named:
        raise missing("LaunchPermission")
    if len(named) > 1:
        raise Ec2Error("InvalidParameterCombination", "Either add or remove launch permissions")
    if named[0] not in ("add", "remove"):
        raise Ec2Error("InvalidParameterValue", "OperationType must be add or remove")
    for one in changes[named[0]]:
        if one.get("Group") != ALL or len(one) > 1:
            raise unsupported("Sharing an image with some and not with all")
    return named[0] == "add"


def _in_old_words(given: Members) -> Iterable[Mapping[str, Any]]:
    groups = [{"Group": group} for group in given.get("UserGroups", ())]
    return groups + [{"UserId": id} for id in given.get("UserIds", ())]


def describe_image_attribute(tx: Tx, call: Call) -> Members:
    image = find_image(tx, call.tenant, call.given["ImageId"])
    return {"ImageId": image_id(image), **_attribute(image, call.given["Attribute"])}


def _attribute(image: Image, name: str) -> Members:
    match name:
        case "launchPermission":
            return {"LaunchPermissions": [{"Group": ALL}] if image.public else []}
        case "kernel":
            return {"KernelId": {"Value": kernel_id(image.kernel_id)} if image.kernel_id else {}}
        case "ramdisk":
            return {"RamdiskId": {"Value": ramdisk_id(image.ramdisk_id)} if image.ramdisk_id else {}}
    raise unsupported(f"The attribute {name[:100]}")
