"""Tags of what is gone go as well."""

from __future__ import annotations

from provisioner.api.context import ApiContext
from provisioner.api.ec2.errors import Ec2Error
from provisioner.api.ec2.ids import find_image, find_instance, find_key_pair
from provisioner.api.housekeeping import forget_each
from provisioner.core.model import Tag
from provisioner.protocols.store import Tx


async def forget_tags_of_nothing(context: ApiContext) -> None:
    """Raises what the store raises."""
    await forget_each(context, Tag, lambda tx, tag: not _has_its_resource(tx, tag))


def _has_its_resource(tx: Tx, tag: Tag) -> bool:
    try:
        match tag.resource_type:
            case "instance":
                find_instance(tx, tag.tenant, tag.resource_id)
            case "image":
                find_image(tx, tag.tenant, tag.resource_id)
            case "key-pair":
                find_key_pair(tx, tag.tenant, tag.resource_id)
    except Ec2Error:
        return False
    return True
