"""Whose a token or an access key is, and what it is remembered by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from provisioner.core.model import AccessKey, ApiToken, User
from provisioner.core.roles import Principal, Role, lesser
from provisioner.protocols.store import Tx


@dataclass(frozen=True, slots=True)
class KnownToken:
    """Whose token it is, as long as our clock hasn't come to `until_s`."""

    who: Principal
    until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAccessKey:
    """An access key as it was read at `read_at` of the store's clock, which was `read_s` of ours."""

    who: Principal
    secret: str = field(repr=False)
    read_at: datetime
    read_s: float


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
