"""What a request names by EC2's ids (`core.ec2_ids`), found."""

from __future__ import annotations

import re
from typing import TypeVar

from provisioner.api.ec2.errors import Ec2Error, malformed_id, unknown_id
from provisioner.api.image_shares import is_shared
from provisioner.core.ec2_ids import DIGITS, IMAGE_PREFIX, image_id
from provisioner.core.model import Image, ImageKind, Instance, KeyPair
from provisioner.core.states import InstanceState
from provisioner.protocols.store import Tx

R = TypeVar("R", Image, Instance, KeyPair)

_ID = re.compile(r"([a-z]{1,8})-([0-9a-f]{17}|[0-9a-f]{8})\Z")
"""Those of eight digits are what EC2 gave until 2016, and none of ours."""

MAX_IDS = 1000
"""In one request."""

TOLD_S = 3600.0
"""For how long an instance that is gone is told of, as at EC2."""


def bounded(ids: list[str]) -> list[str]:
    """Each once. Raises Ec2Error for too many."""
    if len(ids) > MAX_IDS:
        raise Ec2Error("InvalidParameterValue", f"A request may name {MAX_IDS} resources")
    return list(dict.fromkeys(ids))


def find_instance(tx: Tx, tenant: str, id: str) -> Instance:
    """Raises Ec2Error, the same for another tenant's, and for one that is long gone, as for nobody's."""
    found = _find(tx, Instance, ("i",), "InstanceID", id)
    if found.tenant != tenant or not _is_told(tx, found):
        raise unknown_id("InstanceID", id)
    return found


def _is_told(tx: Tx, instance: Instance) -> bool:
    """Whether it is there, or was a while ago."""
    gone_s = (tx.now() - instance.updated_at).total_seconds()
    return instance.state is not InstanceState.DELETED or gone_s <= TOLD_S


def find_image(tx: Tx, tenant: str, id: str, *kinds: ImageKind) -> Image:
    """kinds: that are wanted; all when none is named. Raises Ec2Error, the same for what isn't shared with
    the tenant as for what isn't there."""
    kinds = kinds or tuple(ImageKind)
    found = _find(tx, Image, tuple(IMAGE_PREFIX[kind] for kind in kinds), "AMIID", id)
    theirs = found.public or found.tenant == tenant or is_shared(tx, found, tenant)
    if not theirs or found.kind not in kinds or image_id(found) != id:
        raise unknown_id("AMIID", id)
    return found


def find_key_pair(tx: Tx, tenant: str, id: str) -> KeyPair:
    found = _find(tx, KeyPair, ("key",), "KeyPair", id)
    if found.tenant != tenant:
        raise unknown_id("KeyPair", id)
    return found


def _find(tx: Tx, kind: type[R], prefixes: tuple[str, ...], what: str, id: str) -> R:
    match = _ID.match(id)
    if match is None or match[1] not in prefixes:
        raise malformed_id(what, id[:64])
    digits = match[2]
    if len(digits) != DIGITS:
        raise unknown_id(what, id)
    beginning = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:]}"
    found = tx.find(kind, after=beginning, limit=1)
    if not found or not found[0].id.startswith(beginning):
        raise unknown_id(what, id)
    return found[0]
