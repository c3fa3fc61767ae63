"""DescribeAvailabilityZones, and the zone that Placement names."""

from __future__ import annotations

from typing import Any

from provisioner.api.ec2.call import Call, Members
from provisioner.api.ec2.errors import bad_value
from provisioner.api.ec2.filters import Filters, Looks
from provisioner.api.ec2.other_filters import OTHERS
from provisioner.api.visible_nodes import nodes_of
from provisioner.core.model import Node
from provisioner.core.zones import DEFAULT, ec2_zone
from provisioner.protocols.store import Tx

_LOOKS: Looks[Members] = {
    "message": lambda one: one["Messages"],
    "group-name": lambda one: [one["GroupName"]],
    "opt-in-status": lambda one: [one["OptInStatus"]],
    "region-name": lambda one: [one["RegionName"]],
    "zone-name": lambda one: [one["ZoneName"]],
    "zone-id": lambda one: [one["ZoneId"]],
    "zone-type": lambda one: [one["ZoneType"]],
    "state": lambda one: [one["State"]],
}


def describe_availability_zones(tx: Tx, call: Call) -> Members:
    """Those that nodes are in."""
    names = sorted(_zones(tx, call))
    for parameter in ("ZoneNames", "ZoneIds"):
        asked = call.given.get(parameter) or names
        for name in asked:
            if name not in names:
                raise bad_value(parameter, f"there is no zone {name[:100]}")
        names = [name for name in names if name in asked]
    wanted = Filters(call.given.get("Filters", ()), _LOOKS, others=OTHERS["DescribeAvailabilityZones"])
    return {"AvailabilityZones": list(filter(wanted, (_view(call, name) for name in names)))}


def _view(call: Call, name: str) -> dict[str, Any]:
    return {
        "State": "available",
        "OptInStatus": "opt-in-not-required",
        "Messages": [],
        "RegionName": call.context.region,
        "ZoneName": name,
        "ZoneId": name,
        "GroupName": call.context.region,
        "ZoneType": "availability-zone",
    }


def named_zone(tx: Tx, call: Call, name: str) -> str:
    """Ours, of EC2's name for it. Raises Ec2Error when no node is there."""
    zones = _zones(tx, call)
    if name not in zones:
        raise bad_value("Placement.AvailabilityZone", f"there are {', '.join(sorted(zones))}")
    return zones[name]


def _zones(tx: Tx, call: Call) -> dict[str, str]:
    """By EC2's names; a place without nodes has one all the same."""
    picked = tx.pick(Node, "zone", where=nodes_of(call.context.who))
    found = sorted({zone or DEFAULT for (zone,) in picked}) or [DEFAULT]
    # One that an operator called so comes last, and counts.
    found.sort(key=lambda zone: zone != DEFAULT)
    return {ec2_zone(call.context.region, zone): zone for zone in found}
