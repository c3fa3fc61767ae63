"""Which outlets a node's power hangs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provisioner.core.pdus.families import FAMILIES

OUTLET_DRIVERS = ("snmp", "iboot", "http", "command", "feeds")
"""Power drivers by which nodes hang on outlets."""


_DEVICE = ("address", "on")
"""What tells a device from others: where it is, or the URL that switches an outlet on."""


def feeds_of(driver: str, address: Mapping[str, Any]) -> frozenset[str]:
    """The outlets that a node with this power hangs on, each named as nobody else's is; none for a BMC."""
    if driver == "feeds":
        return frozenset(
            outlet for feed in address["feeds"] for outlet in feeds_of(str(feed["driver"]), feed)
        )
    where = ":".join(str(address[name]) for name in ("address", "port") if address.get(name) is not None)
    match driver:
        case "snmp":
            family = FAMILIES.get(str(address["family"]))
            unit = address.get("unit") or (family.unit if family else "")
            of = f"unit {unit} of PDU {where}" if unit else f"PDU {where}"
            return frozenset(f"outlet {outlet} of {of}" for outlet in address["outlets"])
        case "iboot":
            return frozenset((f"the outlet at {where}",))
        case "http":
            return frozenset((f"the outlet at {address['on']}",))
        case "command":
            of = f"{address['command']} of {address['address']}"
            return frozenset(f"outlet {outlet} by {of}" for outlet in address["outlets"])
    return frozenset()


def devices_of(address: Mapping[str, Any]) -> frozenset[str]:
    """What has the outlets of `feeds_of`: those who share an outlet share one of these."""
    parts = address.get("feeds", (address,))
    found = (part.get(name) for part in parts for name in _DEVICE)
    return frozenset(str(device) for device in found if device is not None)


def hangs_on(devices: frozenset[str], address: Mapping[str, Any]) -> bool:
    """Whether one of these has an outlet of this power. Many are asked: made for speed."""
    for part in address.get("feeds") or (address,):
        for name in _DEVICE:
            if part.get(name) in devices:
                return True
    return False


def pdus_of(driver: str, address: Mapping[str, Any]) -> frozenset[str]:
    """The addresses of the devices with several outlets that a node with this power hangs on."""
    if driver == "feeds":
        return frozenset(pdu for feed in address["feeds"] for pdu in pdus_of(str(feed["driver"]), feed))
    return frozenset((str(address["address"]),)) if driver in ("snmp", "command") else frozenset()
