"""The rack as a provisioner's node file (docs of the provisioner: `node enroll -f`)."""

from __future__ import annotations

from typing import Any

from bmsim.rack.spec import Node, Rack

IPMI_PORT = 623


def inventory(rack: Rack) -> dict[str, Any]:
    """Plain data. It holds the BMC passwords: they are made up, and whoever enrols the nodes needs them."""
    return {"nodes": [_node(node) for node in rack.nodes]}


def _node(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "arch": node.arch,
        "firmware": node.firmware,
        "vcpus": node.vcpus,
        "memory_mib": node.memory_mib,
        "disk_mib": node.disks[0].size_mib,
        "ports": [{"mac": nic.mac} for nic in node.nics],
        "boot": "uboot" if node.firmware == "uboot" else "ipxe",
        "power": {
            "driver": "ipmi",
            "address": str(node.bmc.address),
            "port": IPMI_PORT,
            "user": node.bmc.user,
            "password": node.bmc.password.get_secret_value(),
        },
    }
