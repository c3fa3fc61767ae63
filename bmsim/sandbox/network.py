"""The rack's wires: two bridges, and a namespace for each compute host with a leg on both."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from bmsim.rack.spec import ComputeHost, Rack, ipv6_prefix


def legs(rack: Rack, host: str) -> tuple[str, str]:
    """The outer ends of a compute host's legs: on the provisioning bridge, and on the management bridge."""
    number = [known.name for known in rack.compute_hosts].index(host)
    return f"p{number}", f"m{number}"


def lay_wires(rack: Rack) -> None:
    """Called once, inside the rack's own network and mount namespaces."""
    Path("/run/netns").mkdir(parents=True, exist_ok=True)
    for line in _commands(rack):
        subprocess.run(["ip", *line.split()], check=True, capture_output=True, text=True)


def _commands(rack: Rack) -> Iterator[str]:
    yield "link set lo up"
    for bridge in ("prov", "mgmt"):
        # No snooping and no delay: a NIC that comes up is heard at once, as behind a port without STP.
        yield f"link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        yield f"link set {bridge} up"
    management = rack.networks.management.subnet
    for address in rack.device_addresses:
        yield f"address add {address}/{management.prefixlen} dev mgmt"
    for number, host in enumerate(rack.compute_hosts):
        yield f"netns add {host.name}"
        to_nodes, to_devices = legs(rack, host.name)
        yield from _leg(host, to_nodes, "prov", "prov0")
        yield from _leg(host, to_devices, "mgmt", "mgmt0")
        yield f"-n {host.name} link set lo up"
        provisioning = rack.networks.provisioning.subnet
        yield f"-n {host.name} address add {host.provisioning_address}/{provisioning.prefixlen} dev prov0"
        yield f"-n {host.name} address add {host.management_address}/{management.prefixlen} dev mgmt0"
        # nodad: duplicate address detection would keep the address unusable for the first second.
        prefix = ipv6_prefix(provisioning)
        yield f"-n {host.name} address add {prefix[number + 1]}/{prefix.prefixlen} dev prov0 nodad"


def _leg(host: ComputeHost, outer: str, bridge: str, inner: str) -> Iterator[str]:
    yield f"link add {outer} type veth peer name {inner} netns {host.name}"
    yield f"link set {outer} master {bridge} up"
    yield f"-n {host.name} link set {inner} up"
