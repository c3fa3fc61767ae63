"""What goes wrong on a rack's wires, as nftables rules on its bridges: a table for each fault of each node.

On arrival at the bridge, not when it passes on: what is lost was seen by nobody, the rack's own listener
included. Rules count what they concern, and chance is drawn beforehand from a seed, so that the same messages
are lost each time.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from random import Random
from typing import Any

from bmsim.rack.inventory import IPMI_PORT
from bmsim.rack.spec import ComputeHost, Node, Rack
from bmsim.sandbox.frames import AGENT_PORT, HTTP_PORT, ISCSI_PORT
from bmsim.sandbox.network import legs

FAULTS = ("net.drop", "net.partition", "dhcp.lost_offer", "tftp.stall", "host.partition")

FOR_EVER = 2**32 - 1
"""The modulus of a counter that doesn't come round."""

CYCLE = 1024
"""Chance is drawn for so many messages; then it repeats itself."""

SNMP_PORT = 161

# Of the node as the peer: what the other end's port is, and which end has it.
PORTS = {
    "dhcp": ("udp", "host", "67"),
    "http": ("tcp", "host", str(HTTP_PORT)),
    "iscsi": ("tcp", "node", str(ISCSI_PORT)),
    "agent": ("tcp", "node", str(AGENT_PORT)),
    "ssh": ("tcp", "node", "22"),
}

TFTP_DATA = "meta l4proto udp udp sport != { 53, 67 } @th,64,16 3"
TFTP = "meta l4proto udp @th,64,16 { 1, 3, 4, 5, 6 } udp dport != { 53, 67, 68 }"
"""By the operation alone (RFC 1350 §5): its ports are made up for each transfer."""

OFFER = "ether type ip udp sport 67 @th,1984,24 0x350102"
"""Option 53, the message type, stands first (dnsmasq does so): after the magic cookie, at byte 248 of UDP."""


class WireFaults:
    """note(node, device, command, sender, result, **args): the rack's audit log."""

    def __init__(self, rack: Rack, note: Callable[..., None]) -> None:
        self._rack = rack
        self._note = note
        self._struck: dict[tuple[str, str], int] = {}

    def strike(self, target: str, fault: str, parameters: Mapping[str, Any]) -> None:
        """target: a node, or a compute host. A fault that is there already begins anew. Raises OSError with
        nft's words."""
        self.mend(target, fault)
        _nft(rules=self._ruleset(target, fault, parameters))
        self._struck[(target, fault)] = 0

    def mend(self, target: str, fault: str) -> None:
        """Idempotent."""
        if (target, fault) in self._struck:
            self._look(target, fault)
            del self._struck[(target, fault)]
            _nft("delete", "table", "bridge", _table(target, fault))

    def look(self) -> None:
        """Notes what was struck since the last look."""
        for target, fault in tuple(self._struck):
            self._look(target, fault)

    def _look(self, target: str, fault: str) -> None:
        answer = json.loads(_nft("-j", "list", "counters", "table", "bridge", _table(target, fault)))
        counted = sum(item["counter"]["packets"] for item in answer["nftables"] if "counter" in item)
        fresh = counted - self._struck[(target, fault)]
        if fresh > 0:
            self._struck[(target, fault)] = counted
            host = self._rack.compute_host(target)
            whose = {"host": host.name} if host is not None else {}
            self._note("" if host else target, "fault", "struck", "", fault=fault, packets=fresh, **whose)

    def _ruleset(self, target: str, fault: str, parameters: Mapping[str, Any]) -> str:
        host, node = self._rack.compute_host(target), self._rack.node(target)
        if host is not None:
            return host_ruleset(self._rack, host, parameters)
        assert node is not None, "who orders knows what the rack has"
        return ruleset(self._rack, node, fault, parameters)


def ruleset(rack: Rack, node: Node, fault: str, parameters: Mapping[str, Any]) -> str:
    """For nft -f, of a node. parameters: completed."""
    hung_on = dict.fromkeys(feed.pdu for feed in node.outlets)
    pdus = [str(pdu.address) for pdu in rack.pdus if pdu.name in hung_on]
    rules = [f"{match} {when}" for match, when in _rules(node, pdus, fault, parameters)]
    return _table_of(_table(node.name, fault), {"prerouting": rules, "output": rules})


def host_ruleset(rack: Rack, host: ComputeHost, parameters: Mapping[str, Any]) -> str:
    """For nft -f: a compute host is cut off from the rack's devices, from the other hosts (one of which has
    the store), or from both. parameters: of host.partition, completed."""
    to_nodes, to_devices = legs(rack, host.name)
    others = [other for other in rack.compute_hosts if other != host]
    everybody = None
    cut_off_from: dict[str, dict[str, list[IPv4Address] | None]] = {
        "nodes": {to_nodes: everybody, to_devices: rack.device_addresses},
        "store": {
            to_nodes: [other.provisioning_address for other in others],
            to_devices: [other.management_address for other in others],
        },
        "both": {to_nodes: everybody, to_devices: everybody},
    }
    sent, received = [], []
    for leg, peers in cut_off_from[parameters["from"]].items():
        listed = "{ " + ", ".join(map(str, peers or ())) + " }"
        if peers != []:
            sent.append(f'iifname "{leg}"' + (f" ip daddr {listed}" if peers else ""))
            received.append(f'oifname "{leg}"' + (f" ip saddr {listed}" if peers else ""))
    chains = {"postrouting": received, **({} if parameters["one_way"] else {"prerouting": sent})}
    return _table_of(_table(host.name, "host.partition"), chains)


def _table_of(name: str, dropped: Mapping[str, Iterable[str]]) -> str:
    """dropped: hook → what of that passes it."""
    chains = "\n".join(
        f"  chain {hook} {{\n    type filter hook {hook} priority 0; policy accept;\n"
        + "".join(f"    {match} counter name hits drop\n" for match in matches)
        + "  }"
        for hook, matches in dropped.items()
    )
    return f"table bridge {name} {{\n  counter hits {{ }}\n{chains}\n}}\n"


def _rules(
    node: Node, pdus: Sequence[str], fault: str, parameters: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    macs = "{ " + ", ".join(nic.mac for nic in node.nics) + " }"
    match fault:
        case "dhcp.lost_offer":
            count = parameters["count"]
            # By the client's address in the message (§2 of RFC 2131): an offer may be a broadcast.
            for nic in node.nics:
                mac = f"@th,288,48 0x{nic.mac.replace(':', '')}"
                yield f"{OFFER} {mac}", "" if count is None else f"numgen inc mod {FOR_EVER} < {count}"
        case "tftp.stall":
            yield f"ether daddr {macs} ether type ip {TFTP_DATA} @th,80,16 > {parameters['after_block']}", ""
        case "net.partition":
            for match in _concerned(node, macs, pdus, parameters):
                yield match, ""
        case "net.drop":
            chosen = _chosen(parameters)
            for match in _concerned(node, macs, pdus, parameters) if chosen else ():
                yield match, chosen


def _concerned(node: Node, macs: str, pdus: Sequence[str], parameters: Mapping[str, Any]) -> Iterator[str]:
    """Of the messages of some protocols, or of all, to the node, from it, or both. pdus: addresses of those
    that it hangs on: theirs as well, whichever of their nodes is asked for."""
    both = {"to_node": ("to_node",), "to_host": ("to_host",)}
    for direction in both.get(parameters["direction"], ("to_node", "to_host")):
        to_node = direction == "to_node"
        port, address = ("dport", "daddr") if to_node else ("sport", "saddr")
        bmc = f"ip {address} {node.bmc.address}" if node.bmc is not None else ""
        # One rule for all of them: messages are counted by protocol and way.
        fed_by = f"ip {address} {{ {', '.join(pdus)} }}" if pdus else ""
        # DHCP to a node is a broadcast when it asks for that: every other node's would be lost as well.
        machine = f"ether {address} {macs}"
        protocols = parameters["protocols"]
        if protocols is None:
            if bmc:
                yield f"ether type ip {bmc}"
            if fed_by:
                yield f"ether type ip {fed_by}"
            yield machine
            continue
        for protocol in protocols:
            if protocol == "ipmi":
                if bmc:
                    yield f"ether type ip {bmc} udp {port} {IPMI_PORT}"
            elif protocol == "snmp":
                if fed_by:
                    yield f"ether type ip {fed_by} udp {port} {SNMP_PORT}"
            elif protocol == "tftp":
                yield f"{machine} ether type ip {TFTP}"
                if not to_node:
                    yield f"{machine} ether type ip udp dport 69"
            else:
                kind, end, number = PORTS[protocol]
                at_node = end == "node"
                side = "dport" if to_node == at_node else "sport"
                yield f"{machine} ether type ip {kind} {side} {number}"


def _chosen(parameters: Mapping[str, Any]) -> str:
    """The part of a rule that picks messages by their number; empty: none is to be lost."""
    if parameters["nth"] is not None:
        return f"numgen inc mod {FOR_EVER} {parameters['nth'] - 1}"
    draw = Random(parameters["seed"] or 0).random
    lost = [str(number) for number in range(CYCLE) if draw() < parameters["probability"]]
    return f"numgen inc mod {CYCLE} {{ {', '.join(lost)} }}" if lost else ""


def _table(target: str, fault: str) -> str:
    return f"bmsim-{target}-{fault.replace('.', '-').replace('_', '-')}"


def _nft(*words: str, rules: str = "") -> str:
    """By standard input or by arguments. Raises OSError with nft's words."""
    argv = ("nft", *words) if words else ("nft", "-f", "-")
    done = subprocess.run(argv, input=rules, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip()[:1000]}")
    return done.stdout
