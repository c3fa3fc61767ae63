"""All faults that are known, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bmsim.faults import agent, bmc, boot, db, dhcp, disk, host, image, iscsi, net, nfs, node, pdu, tftp
from bmsim.faults.fault import BadFault, Fault

FAMILIES = (bmc, net, dhcp, tftp, boot, node, disk, image, iscsi, agent, host, pdu, db, nfs)

CATALOGUE: Mapping[str, Fault] = MappingProxyType(
    {fault.name: fault for family in FAMILIES for fault in family.FAULTS}
)


def find(name: str) -> Fault:
    """Raises BadFault when there is none of that name."""
    if name not in CATALOGUE:
        raise BadFault(f"there is no fault {name}; there are: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def completed(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A fault's parameters with defaults filled in. Raises BadFault."""
    return find(name).completed(given)
