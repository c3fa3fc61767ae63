"""The rack as a provisioner's node file (docs of the provisioner: `node enroll -f`)."""

from __future__ import annotations

from typing import Any

from bmsim.devices.pdu_families import FAMILIES, place
from bmsim.rack.pdu_spec import IBOOT, Pdu
from bmsim.rack.spec import Bmc, Node, Rack

IPMI_PORT = 623


def inventory(rack: Rack) -> dict[str, Any]:
    """Plain data, with the passwords of BMCs and PDUs: they are made up, and needed to enrol the nodes."""
    return {"nodes": [_node(node, rack) for node in rack.nodes]}


def _node(node: Node, rack: Rack) -> dict[str, Any]:
    return {
        "name": node.name,
        "arch": node.arch,
        "firmware": node.firmware,
        "vcpus": node.vcpus,
        "memory_mib": node.memory_mib,
        "disk_mib": node.disks[0].size_mib if node.disks else 0,
        "ports": [{"mac": nic.mac} for nic in node.nics],
        "boot": _boot(node),
        **({} if node.disks else {"deploy": "nfs"}),
        "power": _bmc(node.bmc) if node.bmc is not None else _outlets(node, rack),
    }


def _boot(node: Node) -> str:
    if node.firmware in ("uboot", "tilera"):
        return node.firmware
    return "grub" if node.arch == "arm64" else "ipxe"


def _bmc(bmc: Bmc) -> dict[str, Any]:
    return {
        "driver": "ipmi",
        "address": str(bmc.address),
        "port": IPMI_PORT,
        "user": bmc.user,
        "password": bmc.password.get_secret_value(),
    }


def _outlets(node: Node, rack: Rack) -> dict[str, Any]:
    """Of one PDU, or of several, or of several units of a chain: then they are feeds."""
    feeds = []
    for pdu in rack.pdus:
        units: dict[int, list[int]] = {}
        for feed in node.outlets:
            if feed.pdu == pdu.name:
                unit, outlet = place(feed.outlet, pdu.outlets)
                units.setdefault(unit, []).append(outlet)
        feeds += [_on(pdu, unit, outlets) for unit, outlets in units.items()]
    return feeds[0] if len(feeds) == 1 else {"driver": "feeds", "feeds": feeds}


def _on(pdu: Pdu, unit: int, outlets: list[int]) -> dict[str, Any]:
    address = str(pdu.address)
    if pdu.family == IBOOT:
        return {"driver": "iboot", "address": address, "password": pdu.password.get_secret_value()}
    power = {"driver": "snmp", "family": pdu.family, "address": address, "outlets": outlets}
    if unit > 1:
        power["unit"] = FAMILIES[pdu.family].unit(unit)
    if pdu.user is None:
        return {**power, "community": pdu.community.get_secret_value()}
    user = {"version": "3", "user": pdu.user.name, "auth_protocol": pdu.user.auth_protocol}
    user["auth_key"] = pdu.user.auth_key.get_secret_value()
    if pdu.user.priv_key is not None:
        user |= {"priv_protocol": pdu.user.priv_protocol, "priv_key": pdu.user.priv_key.get_secret_value()}
    return {**power, **user}
