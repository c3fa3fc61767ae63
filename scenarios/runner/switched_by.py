"""Which faults a node can have: it has a BMC or hangs on outlets, gets its root by iSCSI or by NFS, and is a
machine or a board."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bmsim.faults.pdu import feeds_needed

NOT_OF_TILES = ("boot.wrong_arch", "boot.ignores_flag", "boot.loop", "agent.", "iscsi.", "disk.")
NOT_OF_UBOOT = ("boot.wrong_arch", "boot.ignores_flag")
"""Of boards without disk and agent; of those whose firmware has one architecture, and an order of its own."""


def unfit_for(fault: str, node: str, firmware: str, at: str = "") -> str:
    """What to change about a fault that this kind of machine can't have; empty: it fits. firmware: as in a
    rack part; empty: not known yet. at: how far a boot gets, of faults that have that."""
    others = {"tilera": NOT_OF_TILES, "uboot": NOT_OF_UBOOT}.get(firmware, ())
    if fault.startswith(tuple(others)):
        return f"{fault} changes nothing at {node}, which starts with {firmware}: take another node"
    if firmware == "tilera" and at == "agent":
        return f"{fault} at agent changes nothing at {node}, which boots no ramdisk with an agent: at: kernel"
    if fault == "boot.wrong_image" and firmware not in ("", "tilera"):
        return f"{fault} is refused by boards of tilepro64 alone: give {node} firmware: tilera, boot: tilera"
    return ""


def unfit_on_machines(fault: str, node: str, boot: str, at: str = "") -> str:
    """What to change about a fault that models of this kind of machine have, and real ones not; empty: it
    fits. boot: who serves what it starts with."""
    if fault == "node.slow_post" and boot != "tilera":
        return f"{fault} strikes boards of tilepro64 alone at fidelity machine, not {node}: change fidelities"
    if fault in ("node.hangs", "boot.loop") and at == "loader" and boot != "ipxe":
        return f"{fault} at loader needs iPXE at fidelity machine; {node} boots by {boot}: take at: kernel"
    return ""


def unfit(fault: str, node: str, power: str, deploy: str, given: Mapping[str, Any]) -> str:
    """What to change about a fault that the node has no device for, or no connection; empty: it fits. power,
    deploy: as in a rack part; power empty: not known yet. given: the fault's parameters."""
    of_outlets = power in ("pdu", "two-pdus")
    if fault.startswith("iscsi.") and deploy == "nfs":
        return f"{fault} changes nothing at {node}, which has its root by NFS: give it deploy: iscsi"
    if not power:
        return ""
    if fault.startswith("pdu.") and not of_outlets:
        return f"{fault} strikes outlets, and {node} has a BMC: give it power: pdu"
    needed = feeds_needed(fault, given)
    if of_outlets and needed > 2:
        return f"{fault} of feed {needed} changes nothing at {node}, which has two at most: take another feed"
    if needed == 2 and power == "pdu":
        return f"{fault} needs two feeds: give {node} power: two-pdus"
    # NICs are renamed by firmware.
    if fault.startswith("bmc.") and of_outlets and fault != "bmc.nic_renamed":
        return f"{fault} strikes a BMC, and {node} hangs on outlets: give it power: ipmi"
    return ""
