"""What becomes of EC2's tags when their resource is deleted, by whichever API."""

from __future__ import annotations

from provisioner.core.model import Tag
from provisioner.protocols.store import Tx


def forget_tags(tx: Tx, id: str) -> None:
    """With their resource, which is named as EC2 does: each tenant's that had put some on it."""
    for tag in tx.find(Tag, where={"resource_id": id}):
        tx.delete(Tag, tag.id)
