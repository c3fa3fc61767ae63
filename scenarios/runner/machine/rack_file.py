"""The rack file of a story's rack."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

from scenarios.runner.machine.provisioner import CONTROL
from scenarios.runner.story import Story, StoryHost, StoryNode

SUBNETS = {"provisioning": {"subnet": "10.77.0.0/24"}, "management": {"subnet": "10.78.0.0/24"}}
CONTROL_HOST = StoryHost(name=CONTROL, address="10.77.0.9")


def hosts_of(story: Story) -> tuple[StoryHost, ...]:
    """The rack's: the compute hosts, and one for what they share."""
    return story.hosts if len(story.hosts) == 1 else (*story.hosts, CONTROL_HOST)


def addresses(host: StoryHost) -> dict[str, str]:
    """The last number of both is the same."""
    management = IPv4Network(SUBNETS["management"]["subnet"])[int(IPv4Address(host.address)) & 255]
    return {"provisioning_address": host.address, "management_address": str(management)}


def rack_of(story: Story, name: str) -> dict[str, Any]:
    """The rack file of a story's rack."""
    return {
        "name": name,
        "networks": SUBNETS,
        "compute_hosts": [{"name": host.name, **addresses(host)} for host in hosts_of(story)],
        "nodes": [
            {
                "name": node.name,
                "arch": node.arch,
                "firmware": node.firmware,
                "vcpus": node.cpus,
                "memory_mib": node.memory_mib,
                **_made_of(node),
                # As the model has it: with UEFI, firmware fetches its loader by TFTP.
                "nics": [{"mac": node.mac, "ipxe": node.firmware != "uefi"}],
                **_switched_by(node),
            }
            for node in story.nodes
        ],
        "pdus": [
            {"name": pdu.name, "family": pdu.family, "address": pdu.address, "community": pdu.community}
            for pdu in story.pdus
        ],
    }


TILE_BOOT_S = 5.0
"""In the place of 100: long enough for a host to die meanwhile."""

TILE_MONITOR_S = 1.0
"""Long enough for a host to die in each step that has one run."""


def _made_of(node: StoryNode) -> dict[str, Any]:
    if node.is_tile:
        return {"tile": {"boot_s": TILE_BOOT_S, "monitor_s": TILE_MONITOR_S}}
    return {"disks": [{"size_mib": node.disk_mib}]}


def _switched_by(node: StoryNode) -> dict[str, Any]:
    if node.feeds:
        return {"outlets": [{"pdu": feed.pdu.name, "outlet": feed.outlet} for feed in node.feeds]}
    bmc = {"address": node.bmc_address, "user": node.bmc_user, "password": node.bmc_password}
    return {"bmc": bmc}
