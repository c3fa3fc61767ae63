"""ModifyImageAttribute and DescribeImageAttribute: who may launch an image: its own tenant, and whom it is
shared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.api import image_orders, image_shares
from provisioner.api.ec2.call import Call, Members
from provisioner.api.ec2.errors import Ec2Error, missing, unsupported
from provisioner.api.ec2.ids import find_image
from provisioner.api.visible import find_own_image
from provisioner.core.ec2_ids import image_id, kernel_id, ramdisk_id
from provisioner.core.errors import InvalidInput
from provisioner.core.model import Image
from provisioner.protocols.store import Tx

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    add: bool
    everybody: bool
    accounts: tuple[str, ...]


def modify_image_attribute(tx: Tx, call: Call) -> Members:
    named = find_image(tx, call.tenant, call.given["ImageId"])
    changes = _wanted(call.given)
    image = find_own_image(tx, call.context.who, named.id)
    for change in changes:
        if change.everybody:
            image_orders.share(tx, image, call.context.who, public=change.add)
        try:
            (image_shares.give if change.add else image_shares.take)(tx, image, change.accounts)
        except InvalidInput as error:
            raise Ec2Error("InvalidAMIAttributeItemValue", error.message) from error
    return {}


def _wanted(given: Members) -> list[_Change]:
    """Who is to launch it no longer, and who from now on, in either of the two ways to say so."""
    if given.get("Attribute", "launchPermission") != "launchPermission":
        raise unsupported(f"The attribute {given['Attribute'][:100]}")
    permission = given.get("LaunchPermission")
    if permission is not None:
        said = {"remove": permission.get("Remove", ()), "add": permission.get("Add", ())}
    else:
        said = {given.get("OperationType", ""): _in_old_words(given)}
    if not any(said.values()):
        raise missing("LaunchPermission")
    if not said.keys() <= {"add", "remove"}:
        raise Ec2Error("InvalidParameterValue", "OperationType must be add or remove")
    changes = [_change(kind == "add", who) for kind, who in said.items()]
    whose = [set(change.accounts) | ({ALL} if change.everybody else set()) for change in changes]
    if set.intersection(*whose) and len(whose) > 1:
        raise Ec2Error(
            "InvalidParameterCombination", "One call can't both add and remove the same permission"
        )
    return changes


def _change(add: bool, who: Iterable[Mapping[str, Any]]) -> _Change:
    accounts, everybody = [], False
    for one in who:
        if set(one) == {"UserId"}:
            accounts.append(_account(one["UserId"]))
        elif one == {"Group": ALL}:
            everybody = True
        else:
            raise unsupported("Sharing an image with others than all or accounts")
    return _Change(add=add, everybody=everybody, accounts=tuple(accounts))


def _account(text: str) -> str:
    """Whether there is such a one isn't looked up: who asks would learn it."""
    if not image_shares.ACCOUNT.match(text):
        raise Ec2Error(
            "InvalidAMIAttributeItemValue",
            f'Invalid attribute item value "{text[:64]}" for userId item type: it has twelve digits',
        )
    return text


def _in_old_words(given: Members) -> Iterable[Mapping[str, Any]]:
    groups = [{"Group": group} for group in given.get("UserGroups", ())]
    return groups + [{"UserId": id} for id in given.get("UserIds", ())]


def describe_image_attribute(tx: Tx, call: Call) -> Members:
    image = find_image(tx, call.tenant, call.given["ImageId"])
    return {"ImageId": image_id(image), **_attribute(tx, call, image, call.given["Attribute"])}


def _attribute(tx: Tx, call: Call, image: Image, name: str) -> Members:
    match name:
        case "launchPermission":
            return {"LaunchPermissions": _permissions(tx, call, image)}
        case "kernel":
            return {"KernelId": {"Value": kernel_id(image.kernel_id)} if image.kernel_id else {}}
        case "ramdisk":
            return {"RamdiskId": {"Value": ramdisk_id(image.ramdisk_id)} if image.ramdisk_id else {}}
    raise unsupported(f"The attribute {name[:100]}")


def _permissions(tx: Tx, call: Call, image: Image) -> list[Members]:
    """With whom else it is shared isn't for those to see that it is shared with."""
    accounts = [share.account for share in image_shares.shared_with(tx, image)]
    if not call.context.who.sees(image.tenant):
        accounts = [account for account in accounts if account == call.account]
    everybody = [{"Group": ALL}] if image.public else []
    return [*everybody, *({"UserId": account} for account in sorted(accounts))]
