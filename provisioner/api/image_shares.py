"""Images that are shared with single accounts."""

from __future__ import annotations

import re
from collections.abc import Iterable

from provisioner.core.ec2_ids import account_of
from provisioner.core.errors import InvalidInput
from provisioner.core.model import Image, ImageShare
from provisioner.protocols.store import Tx

MAX_SHARES = 1000
"""Of one image."""

ACCOUNT = re.compile(r"[0-9]{12}\Z")


def account_named(said: str) -> str:
    """The account that is called so: by its number, or by its tenant's name."""
    return said if ACCOUNT.match(said) else account_of(said)


def is_shared(tx: Tx, image: Image, tenant: str) -> bool:
    """Whether by name: what is public needs no name."""
    return tx.get(ImageShare, _id(image, account_of(tenant))) is not None


def shared_with(tx: Tx, image: Image) -> list[ImageShare]:
    return tx.find(ImageShare, where={"image_id": image.id})


def images_shared_with(tx: Tx, tenant: str) -> tuple[str, ...]:
    """Their ids."""
    found = tx.find(ImageShare, where={"account": account_of(tenant)})
    return tuple(share.image_id for share in found)


def give(tx: Tx, image: Image, to: Iterable[str]) -> None:
    """to: as `account_named`. Idempotent. Raises InvalidInput for too many."""
    wanted = {account_named(said): said for said in to}
    known = {share.account for share in shared_with(tx, image)}
    new = [account for account in wanted if account not in known]
    if len(known) + len(new) > MAX_SHARES:
        raise InvalidInput(
            f"share image {image.name}",
            field="with",
            answer=f"an image may be shared with {MAX_SHARES} accounts",
            advice="Have an operator share it with all tenants",
        )
    tx.insert(
        *(
            ImageShare(id=_id(image, account), image_id=image.id, account=account, said=wanted[account])
            for account in new
        )
    )


def take(tx: Tx, image: Image, of: Iterable[str]) -> None:
    """Idempotent. Instances that were made of it keep what they have."""
    accounts = {account_named(said) for said in of}
    for share in shared_with(tx, image):
        if share.account in accounts:
            tx.delete(ImageShare, share.id)


def forget_image(tx: Tx, image: Image) -> None:
    for share in shared_with(tx, image):
        tx.delete(ImageShare, share.id)


def forget_tenant(tx: Tx, tenant: str) -> None:
    """Another of its name would find what was meant for it."""
    for share in tx.find(ImageShare, where={"account": account_of(tenant)}):
        tx.delete(ImageShare, share.id)


def _id(image: Image, account: str) -> str:
    return f"{image.id}:{account}"
