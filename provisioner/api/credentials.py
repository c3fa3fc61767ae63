"""Whose a token or an access key is, and what it is remembered by."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from provisioner.core.model import AccessKey, ApiToken, User
from provisioner.core.roles import Principal, Role, lesser
from provisioner.protocols.store import Tx

K = TypeVar("K")

CACHE_S = 10.0
"""What was revoked elsewhere may be accepted for this long."""

MAX_KNOWN = 10_000
"""Of each kind; some 300 bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAccessKey:
    """An access key as it was read at `read_at` of the store's clock, which was `read_s` of ours."""

    who: Principal
    secret: str = field(repr=False)
    read_at: datetime
    read_s: float


class Known(Generic[K]):
    """What was read of credentials, by their names; those that were read last. Times are our clock's."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, tuple[float, K]] = OrderedDict()
        self._anew_s = -math.inf

    def __contains__(self, name: str) -> bool:
        """Whether it was one of ours when it was last read, however long ago."""
        return name in self._found

    def fresh(self, name: str, now_s: float) -> K | None:
        """None: it is to be read."""
        read_s, found = self._found.get(name, (-math.inf, None))
        return found if read_s > self._anew_s and now_s < read_s + CACHE_S else None

    def put(self, name: str, found: K, read_s: float) -> None:
        """read_s: when its reading began."""
        self._found[name] = read_s, found
        self._found.move_to_end(name)
        if len(self._found) > MAX_KNOWN:
            self._found.popitem(last=False)

    def gone(self, name: str) -> None:
        self._found.pop(name, None)

    def read_anew(self, now_s: float) -> None:
        """All of it, and what is being read at this moment: it may be of before the change."""
        self._anew_s = now_s


def owner_of_token(tx: Tx, digest: str) -> Principal | None:
    token = tx.get(ApiToken, digest)
    user = tx.get(User, token.user_id) if token else None
    if token is None or user is None:
        return None
    role = lesser(token.role or user.role, user.role)
    return Principal(user=user.id, tenant=user.tenant, role=role, credential=token.id[:16])


def owner_of_key(tx: Tx, id: str) -> tuple[AccessKey, Principal, datetime] | None:
    key = tx.get(AccessKey, id)
    if key is None:
        return None
    role = key.role or Role.MEMBER
    if key.user_id:
        user = tx.get(User, key.user_id)
        if user is None or user.tenant != key.tenant:
            return None
        role = lesser(key.role or user.role, user.role)
    who = Principal(user=key.user_id, tenant=key.tenant, role=role, credential=key.id)
    return key, who, tx.now()


def hash_token(token: str) -> str:
    """How a token is stored. It has 128 random bits, so that a plain hash can't be searched."""
    return hashlib.sha256(token.encode()).hexdigest()
