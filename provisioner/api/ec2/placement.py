"""Placement, as RunInstances has it: a zone, and in the place of a host, a node."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.api.ec2.call import Call
from provisioner.api.ec2.errors import Ec2Error, bad_value, unsupported
from provisioner.api.ec2.zones import named_zone
from provisioner.api.visible_nodes import nodes_of
from provisioner.core.model import Node
from provisioner.protocols.store import Tx


@dataclass(frozen=True, slots=True)
class Where:
    """node_name: None for any. zone: empty for any."""

    node_name: str | None
    zone: str


def wanted_place(tx: Tx, call: Call) -> Where:
    placement = dict(call.given.get("Placement", {}))
    names = {name for key in ("AvailabilityZone", "AvailabilityZoneId") if (name := placement.pop(key, None))}
    if len(names) > 1:
        raise Ec2Error("InvalidParameterCombination", "Two zones are named")
    zone = next((named_zone(tx, call, name) for name in names), "")
    if placement.pop("Tenancy", "host") not in ("default", "dedicated", "host"):
        raise bad_value("Placement.Tenancy", "it is default, dedicated or host: a machine is always whole")
    host = placement.pop("HostId", None)
    if any(placement.values()):
        raise unsupported(f"The parameter Placement.{next(iter(placement))}")
    if host and not tx.find(Node, where={**nodes_of(call.context.who), "name": host}, limit=1):
        raise Ec2Error("InvalidHostID.NotFound", "The host ID does not exist")
    return Where(host or None, zone)
