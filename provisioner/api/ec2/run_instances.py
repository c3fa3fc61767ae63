"""RunInstances: as many machines as there are, between MinCount and MaxCount; all of it or nothing."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from provisioner.api.boot_parts import BootsByItself, boot_part
from provisioner.api.ec2 import block_devices, capacity
from provisioner.api.ec2.call import Call, Members
from provisioner.api.ec2.errors import Ec2Error, LookAgain, bad_value, missing, unsupported
from provisioner.api.ec2.ids import find_image
from provisioner.api.ec2.instances import look, reservations
from provisioner.api.ec2.key_pairs import find_by_name, no_key
from provisioner.api.ec2.placement import Where, wanted_place
from provisioner.api.ec2.tags import of_specifications, put
from provisioner.api.instance_orders import MAX_USER_DATA_BYTES
from provisioner.api.node_survey import AT_ONCE
from provisioner.api.quotas import failed, left, quota
from provisioner.core.board_rules import check_user_data
from provisioner.core.ec2_ids import image_id, instance_id, public_id
from provisioner.core.errors import InvalidInput
from provisioner.core.extra_specs import asks_for_another
from provisioner.core.model import (
    Flavor,
    IdempotencyRecord,
    Image,
    ImageKind,
    ImageState,
    Instance,
    KeyPair,
)
from provisioner.protocols.store import Tx

MAX_COUNT = 1000
MAX_TOKEN = 64
REASONS = 3
"""Of those why free nodes can't carry an instance, so many are told: what most have first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """One instance as it is asked for, checked; what its siblings share."""

    flavor: Flavor
    image: Image
    kernel_id: str | None
    ramdisk_id: str | None
    key: KeyPair | None
    user_data: str
    where: Where


def run_instances(tx: Tx, call: Call) -> Members:
    token = call.given.get("ClientToken", "")
    digest = _digest(call.given)
    known = _known(tx, call, token, digest)
    if known is not None:
        return _reservation(tx, call, known)
    least, most, wish = _wanted(tx, call)
    tags = of_specifications(call.given.get("TagSpecifications", ()), "instance")
    count = min(most, _capacity(tx, call, wish, least, most))
    reservation_id = public_id("r", call.context.ids.uuid())
    instances = [_instance(tx, call, wish, reservation_id, index) for index in range(count)]
    tx.insert(*instances)
    if tags:
        put(tx, call.tenant, [instance_id(instance.id) for instance in instances], tags)
    if token:
        tx.delete(IdempotencyRecord, _token_id(call, token))  # of a reservation that is forgotten
        tx.insert(
            IdempotencyRecord(
                id=_token_id(call, token),
                request_sha256=digest,
                status=200,
                body=reservation_id,
                created_at=tx.now(),
            )
        )
    tx.notify("instances")
    return _reservation(tx, call, reservation_id)


async def look_for_nodes(call: Call) -> capacity.Found:
    """That could carry what is asked for, and as many again as others may be given: more with each time that
    others were faster. Raises Ec2Error; TransientError when too many have nodes looked at."""
    for_the_faster = AT_ONCE * (2**call.looks - 1)

    def wanted(tx: Tx) -> tuple[Instance, Image, int] | None:
        token = call.given.get("ClientToken", "")
        if _known(tx, call, token, _digest(call.given)) is not None:
            return None
        _, most, wish = _wanted(tx, call)
        asked = _instance(tx, call, wish, "", 0)
        return asked, wish.image, most + capacity.waiting(tx, asked) + for_the_faster

    found = await call.context.store.transact(wanted)
    return capacity.Found() if found is None else await capacity.fitting(call.context, *found)


def _wanted(tx: Tx, call: Call) -> tuple[int, int, _Wish]:
    """How many, at least and at most, of what."""
    least, most = call.given["MinCount"], call.given["MaxCount"]
    if not 1 <= least <= most <= MAX_COUNT:
        raise bad_value("MinCount and MaxCount", f"1 ≤ MinCount ≤ MaxCount ≤ {MAX_COUNT} must hold")
    wish = _wish(tx, call)
    return least, _within_quota(tx, call, least, most), wish


def _within_quota(tx: Tx, call: Call, least: int, most: int) -> int:
    """How many of those may be had. Raises Ec2Error when these are too few."""
    more = left(tx, call.context, call.tenant, most)
    if more < least:
        allowed = quota(call.context, call.tenant)
        if allowed is None:
            told = (
                f"So many of your instances wait for a node that {more} more may, and {least} were asked "
                "for. Ask again when some have one, or terminate some."
            )
        else:
            told = f"Your quota allows for {more} more instances, of {allowed}; {least} were asked for."
            if lost := failed(tx, call.tenant):
                told += f" Of those that count, {lost} failed, and count until you terminate them."
        raise Ec2Error("InstanceLimitExceeded", told)
    return min(most, more)


def _reservation(tx: Tx, call: Call, reservation_id: str) -> Members:
    return reservations(look(tx, call, tx.find(Instance, where=_siblings(call, reservation_id))))[0]


def _siblings(call: Call, reservation_id: str) -> dict[str, str]:
    return {"tenant": call.tenant, "reservation_id": reservation_id}


def _known(tx: Tx, call: Call, token: str, digest: str) -> str | None:
    """The reservation that was made by this token, unless it is forgotten by now: the token's life has ended
    long before that, though nobody may have had the time to forget it as well."""
    if not token:
        return None
    if len(token) > MAX_TOKEN or not token.isascii():
        raise bad_value("ClientToken", f"it has at most {MAX_TOKEN} ASCII characters")
    record = tx.get(IdempotencyRecord, _token_id(call, token))
    if record is None or not tx.count(Instance, where=_siblings(call, record.body)):
        return None
    if record.request_sha256 != digest:
        raise Ec2Error(
            "IdempotentParameterMismatch",
            "The request uses the same client token as a previous, but non-identical request.",
        )
    return record.body


def _token_id(call: Call, token: str) -> str:
    return hashlib.sha256(to_json(["RunInstances", call.tenant, token])).hexdigest()


def _digest(given: Mapping[str, Any]) -> str:
    told = sorted((name, value) for name, value in given.items() if name != "ClientToken")
    return hashlib.sha256(to_json(told)).hexdigest()


def _wish(tx: Tx, call: Call) -> _Wish:
    given = call.given
    for needed in ("ImageId", "InstanceType"):
        if not given.get(needed):
            raise missing(needed)
    image = _ready(find_image(tx, call.tenant, given["ImageId"], ImageKind.ROOT, ImageKind.DISK))
    flavor = next(iter(tx.find(Flavor, where={"name": given["InstanceType"]}, limit=1)), None)
    if flavor is None:
        raise bad_value("InstanceType", "there is no such instance type")
    block_devices.check(given.get("BlockDeviceMappings", ()), flavor)
    if wanted := asks_for_another(image.arch, flavor.extra_specs):
        raise bad_value("ImageId", f"{image_id(image)} is for {image.arch}, {flavor.name} asks for {wanted}")
    key = None
    if given.get("KeyName"):
        key = find_by_name(tx, call.tenant, given["KeyName"])
        if key is None:
            raise no_key(given["KeyName"])
    user_data = _user_data(given.get("UserData", ""))
    try:
        check_user_data(image.arch, user_data)
    except InvalidInput as error:
        raise bad_value("UserData", f"{error.answer}. {error.advice}") from error
    return _Wish(
        flavor=flavor,
        image=image,
        kernel_id=_boots_with(tx, call, "KernelId", image, ImageKind.KERNEL),
        ramdisk_id=_boots_with(tx, call, "RamdiskId", image, ImageKind.RAMDISK),
        key=key,
        user_data=user_data,
        where=wanted_place(tx, call),
    )


def _boots_with(tx: Tx, call: Call, parameter: str, image: Image, kind: ImageKind) -> str | None:
    """What is named, or what the image has."""
    id = call.given.get(parameter)
    named = find_image(tx, call.tenant, id, kind) if id else None
    try:
        found = boot_part(tx, image, kind, named)
    except BootsByItself as error:
        told = f"{image_id(image)} boots by itself: no {parameter}"
        raise Ec2Error("InvalidParameterCombination", told) from error
    except InvalidInput as error:
        raise bad_value(parameter, error.answer) from error
    return _ready(found).id if found else None


def _ready(image: Image) -> Image:
    if image.state is not ImageState.ACTIVE:
        raise Ec2Error("InvalidAMIID.Unavailable", f"The image {image_id(image)} is {image.state}")
    return image


def _user_data(encoded: str) -> str:
    try:
        data = base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Ec2Error("InvalidUserData.Malformed", "User data must be base64") from None
    if len(data) > MAX_USER_DATA_BYTES:
        raise bad_value("UserData", f"user data is limited to {MAX_USER_DATA_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise unsupported("User data that isn't UTF-8 text")
    return text


def _capacity(tx: Tx, call: Call, wish: _Wish, least: int, most: int) -> int:
    """How many nodes could carry it now, and aren't about to be given to others. Raises Ec2Error when there
    are too few."""
    found: capacity.Found = call.seen
    free = capacity.left(tx, _instance(tx, call, wish, "", 0), found.nodes, most)
    if free < least and not found.are_all:
        raise LookAgain  # others have come meanwhile
    if free < least:
        # 500 at EC2, which has SDKs ask four more times before they tell.
        told = f"There is no capacity for {least} of {wish.flavor.name} now: {free} could be had."
        if found.others:
            reasons = Counter(found.others).most_common(REASONS)
            told += f" Other free nodes can't carry it: {'; '.join(f'{n} × {why}' for why, n in reasons)}."
        raise Ec2Error("InsufficientInstanceCapacity", told)
    return free


def _instance(tx: Tx, call: Call, wish: _Wish, reservation_id: str, index: int) -> Instance:
    now, id = tx.now(), call.context.ids.uuid()
    return Instance(
        id=id,
        # Its host name. What it is called is a tag of its own.
        name=instance_id(id),
        flavor=wish.flavor,
        image_id=wish.image.id,
        kernel_id=wish.kernel_id,
        ramdisk_id=wish.ramdisk_id,
        public_key=wish.key.public_key if wish.key else "",
        user_data=wish.user_data,
        node_name=wish.where.node_name,
        zone=wish.where.zone,
        tenant=call.tenant,
        key_name=wish.key.name if wish.key else "",
        reservation_id=reservation_id,
        launch_index=index,
        client_token=call.given.get("ClientToken", ""),
        created_at=now,
        updated_at=now,
    )
