"""All families, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from provisioner.core.pdus import (
    apc_masterswitch,
    apc_masterswitchplus,
    apc_rackpdu,
    aten,
    baytech_mrp27,
    cyberpower,
    eatonpower,
    raritan_pdu2,
    servertech_sentry3,
    servertech_sentry4,
    teltronix,
    vertivgeist_pdu,
)
from provisioner.core.pdus.family import Family, Oid

AUTO = "auto"
"""In place of a family: ask the PDU which one it is of."""

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        module.FAMILY.name: module.FAMILY
        for module in (
            apc_masterswitch,
            apc_masterswitchplus,
            apc_rackpdu,
            aten,
            baytech_mrp27,
            cyberpower,
            eatonpower,
            raritan_pdu2,
            servertech_sentry3,
            servertech_sentry4,
            teltronix,
            vertivgeist_pdu,
        )
    }
)


def family_of(system: Oid) -> Family | None:
    """The family of the PDU with this sysObjectID: the one that is known by most of it."""
    best = max(FAMILIES.values(), key=lambda family: family.matches(system))
    return best if best.matches(system) else None
