"""Who may do what: roles in order, and whoever acts under one of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Each may do all that those before it may."""

    READER = "reader"  # sees what its tenant has, and what all tenants share
    MEMBER = "member"  # orders and changes instances, keys and images of its tenant
    OPERATOR = "operator"  # runs nodes, hosts, flavors; sees and changes what all tenants have
    ADMIN = "admin"  # makes tenants, users, tokens and access keys

    def covers(self, least: Role) -> bool:
        return _RANK[self] >= _RANK[least]


_RANK = {role: rank for rank, role in enumerate(Role)}


def lesser(one: Role, other: Role) -> Role:
    return one if other.covers(one) else other


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whoever sent a request. user: empty when its access key belongs to the tenant as a whole.
    credential: the beginning of its token's hash, or its access key's id."""

    user: str
    tenant: str
    role: Role
    credential: str

    @property
    def oversees(self) -> bool:
        """Whether what other tenants have isn't hidden from it."""
        return self.role.covers(Role.OPERATOR)

    def sees(self, tenant: str) -> bool:
        return tenant == self.tenant or self.oversees


NOBODY = Principal(user="", tenant="", role=Role.READER, credential="")
"""Sent a request that needs no token."""
