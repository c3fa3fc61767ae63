"""Tags of what is gone go as well."""

from __future__ import annotations

import structlog

from provisioner.api.context import ApiContext
from provisioner.api.ec2.errors import Ec2Error
from provisioner.api.ec2.ids import find_image, find_instance, find_key_pair
from provisioner.api.ec2.instances import is_told
from provisioner.core.errors import ProvisionerError
from provisioner.core.model import Tag
from provisioner.protocols.store import Tx

log = structlog.get_logger(__name__)

ROUND_S = 3600.0
BATCH = 200
"""Tags looked at in one transaction: bounds how long others wait for the store."""


async def forget_tags_of_nothing(context: ApiContext) -> None:
    """Until cancelled, once in a while."""
    while True:
        try:
            await prune_tags(context)
        except ProvisionerError as error:
            log.warning("tags.not_forgotten", cause=error.message)
        await context.clock.sleep(ROUND_S)


async def prune_tags(context: ApiContext) -> None:
    """Raises what the store raises."""
    after: str | None = None

    def prune(tx: Tx) -> str | None:
        found = tx.find(Tag, after=after, limit=BATCH)
        for tag in found:
            if not _has_its_resource(tx, tag):
                tx.delete(Tag, tag.id)
        return found[-1].id if len(found) == BATCH else None

    while True:
        after = await context.store.transact(prune)
        if after is None:
            return


def _has_its_resource(tx: Tx, tag: Tag) -> bool:
    try:
        match tag.resource_type:
            case "instance":
                return is_told(tx, find_instance(tx, tag.tenant, tag.resource_id))
            case "image":
                find_image(tx, tag.resource_id)
            case "key-pair":
                find_key_pair(tx, tag.tenant, tag.resource_id)
    except Ec2Error:
        return False
    return True
