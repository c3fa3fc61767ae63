"""Tags: words that a tenant puts on instances, images and key pairs. Each tenant sees its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from provisioner.api.ec2.call import Call, Members
from provisioner.api.ec2.errors import Ec2Error, missing, unsupported
from provisioner.api.ec2.filters import Filters, Looks
from provisioner.api.ec2.ids import bounded, find_image, find_instance, find_key_pair
from provisioner.api.ec2.paging import page
from provisioner.core.ec2_ids import IMAGE_PREFIX
from provisioner.core.model import Tag
from provisioner.protocols.store import Tx

MAX_TAGS = 50
MAX_KEY, MAX_VALUE = 128, 256
"""Letters. https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions"""

ASKED_BY_ID = 1000
"""Of more resources than that, all tags of the tenant are read."""

_LOOKS: Looks[Tag] = {
    "key": lambda tag: [tag.key],
    "value": lambda tag: [tag.value],
    "resource-id": lambda tag: [tag.resource_id],
    "resource-type": lambda tag: [tag.resource_type],
}
_TYPES = {"i": "instance", "key": "key-pair", **dict.fromkeys(IMAGE_PREFIX.values(), "image")}

TagsOf = Callable[[str], Mapping[str, str]]


def tags_of(tx: Tx, tenant: str, ids: Sequence[str]) -> TagsOf:
    """The tags of these resources, which are named as EC2 does."""
    where: dict[str, object] = {"tenant": tenant}
    if len(ids) <= ASKED_BY_ID:
        where["resource_id"] = tuple(ids)
    found: dict[str, dict[str, str]] = {}
    for tag in tx.find(Tag, where=where) if ids else ():
        found.setdefault(tag.resource_id, {})[tag.key] = tag.value
    return lambda id: found.get(id, {})


def tag_set(tags: Mapping[str, str]) -> list[Members]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def describe_tags(tx: Tx, call: Call) -> Members:
    wanted = Filters(call.given.get("Filters", ()), _LOOKS, lambda tag: {tag.key: tag.value})
    found = filter(wanted, tx.find(Tag, where={"tenant": call.tenant}))
    tags, token = page(call.given, found, lambda tag: tag.id)
    shown = [
        {"ResourceId": t.resource_id, "ResourceType": t.resource_type, "Key": t.key, "Value": t.value}
        for t in tags
    ]
    return {"Tags": shown, "NextToken": token}


def create_tags(tx: Tx, call: Call) -> Members:
    tags = checked(call.given["Tags"])
    if not tags:
        raise missing("Tag")
    put(tx, call.tenant, _resources(tx, call), tags)
    return {}


def delete_tags(tx: Tx, call: Call) -> Members:
    """All of a resource when none is named; one that is named with a value only if it has that value."""
    doomed = call.given.get("Tags")
    for id in _resources(tx, call):
        for tag in tx.find(Tag, where={"tenant": call.tenant, "resource_id": id}):
            if doomed is None or any(_names(one, tag) for one in doomed):
                tx.delete(Tag, tag.id)
    return {}


def checked(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Raises Ec2Error for tags that can't be."""
    found: dict[str, str] = {}
    for tag in tags:
        key, value = tag.get("Key", ""), tag.get("Value", "")
        if not 0 < len(key) < MAX_KEY:
            raise Ec2Error("InvalidParameterValue", f"A tag has a key of 1 to {MAX_KEY - 1} letters")
        if len(value) > MAX_VALUE:
            raise Ec2Error("InvalidParameterValue", f"A tag's value has {MAX_VALUE} letters at most")
        if key.lower().startswith("aws:"):
            raise Ec2Error("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved")
        if key in found:
            raise Ec2Error("InvalidParameterValue", "Duplicate tag key specified")
        found[key] = value
    return found


def of_specifications(given: Iterable[Mapping[str, object]], kind: str) -> dict[str, str]:
    """The tags that a request gives to what it makes, which is of this kind."""
    found: list[Mapping[str, str]] = []
    for one in given:
        if one.get("ResourceType") != kind:
            told = str(one.get("ResourceType", ""))[:100]
            raise unsupported(
                f"A tag of a resource of type '{told}', in a request that makes one of type {kind},"
            )
        found += one.get("Tags", ())  # type: ignore[arg-type]
    return checked(found)


def put(tx: Tx, tenant: str, ids: Sequence[str], tags: Mapping[str, str]) -> None:
    """Each of these resources has these tags then, besides those that it had."""
    known: dict[str, dict[str, str]] = {id: {} for id in ids}
    for tag in tx.find(Tag, where={"tenant": tenant, "resource_id": tuple(known)}):
        known[tag.resource_id][tag.key] = tag.id
    if any(len(had.keys() | tags.keys()) > MAX_TAGS for had in known.values()):
        raise Ec2Error("TagLimitExceeded", f"A resource has at most {MAX_TAGS} tags")
    changed = {
        had[key]: {"value": value} for had in known.values() for key, value in tags.items() if key in had
    }
    tx.update_all(Tag, changed)
    tx.insert(
        *(
            _tag(tenant, id, key, value)
            for id, had in known.items()
            for key, value in tags.items()
            if key not in had
        )
    )


def _tag(tenant: str, id: str, key: str, value: str) -> Tag:
    return Tag(
        id=f"{tenant}:{id}:{key}",
        tenant=tenant,
        resource_id=id,
        resource_type=_TYPES[id.partition("-")[0]],
        key=key,
        value=value,
    )


def _names(one: Mapping[str, str], tag: Tag) -> bool:
    return one.get("Key") == tag.key and one.get("Value", tag.value) == tag.value


def _resources(tx: Tx, call: Call) -> list[str]:
    ids = bounded(call.given["Resources"])
    if not ids:
        raise missing("ResourceId")
    for id in ids:
        match _TYPES.get(id.partition("-")[0]):
            case "instance":
                find_instance(tx, call.tenant, id)
            case "image":
                find_image(tx, call.tenant, id)
            case "key-pair":
                find_key_pair(tx, call.tenant, id)
            case _:
                if re.fullmatch(r"[a-z]+(-[a-z]+)*-[0-9a-f]{8}([0-9a-f]{9})?", id):
                    raise unsupported(f"A tag of a resource such as '{id}'")
                raise Ec2Error("InvalidID", f"The ID '{id[:64]}' is not valid")
    return ids
