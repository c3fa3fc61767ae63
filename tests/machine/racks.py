"""Rack files of the machine tests, as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BY_GANESHA = {"server": "ganesha", "nodes_trusted": True}
"""Settings of NFS: nobody else is root on our nodes."""


def node(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A small machine; two virtual CPUs would only wait for each other without KVM."""
    return {
        "name": f"n{number}",
        "arch": "x86_64",
        "firmware": "bios",
        "vcpus": 1,
        "memory_mib": 1024,
        "disks": [{"size_mib": 2048}],
        "nics": [{"mac": f"52:54:00:77:00:{number:02x}", "network": "provisioning"}],
        "bmc": {"address": f"10.78.0.{100 + number}", "user": "admin", "password": f"correct-horse-{number}"},
    } | changes


def pdu(name: str, family: str, number: int = 1, **changes: Any) -> dict[str, Any]:
    return {"name": name, "family": family, "address": f"10.78.0.{200 + number}", **changes}


def on_outlets(*feeds: tuple[str, int], **changes: Any) -> dict[str, Any]:
    """A machine without a BMC. feeds: PDU, outlet."""
    made = node(outlets=[{"pdu": name, "outlet": outlet} for name, outlet in feeds], **changes)
    del made["bmc"]
    return made


def board(arch: str, **changes: Any) -> dict[str, Any]:
    """On outlet 3 of PDU a."""
    return on_outlets(("a", 3), arch=arch, firmware="uboot", **changes)


def served_by_nfs(inventory: dict[str, Any]) -> None:
    """Has nodes enrolled without a disk."""
    for entry in inventory["nodes"]:
        entry["deploy"] = "nfs"
        entry["disk_mib"] = 0


def rack(*nodes: dict[str, Any], pdus: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    return {
        "networks": {"provisioning": {"subnet": "10.77.0.0/24"}, "management": {"subnet": "10.78.0.0/24"}},
        "compute_hosts": [
            {"name": "ch1", "provisioning_address": "10.77.0.10", "management_address": "10.78.0.10"}
        ],
        "pdus": list(pdus),
        "nodes": list(nodes) or [node()],
    }
