"""Which faults of power devices a node can have: it has a BMC, or hangs on outlets."""

from __future__ import annotations


def unfit(fault: str, node: str, power: str) -> str:
    """What to change about a fault that the node has no device for; empty: it fits. power: as in a rack part;
    empty: not known yet."""
    of_outlets = power in ("pdu", "two-pdus")
    if not power:
        return ""
    if fault.startswith("pdu.") and not of_outlets:
        return f"{fault} strikes outlets, and {node} has a BMC: give it power: pdu"
    if fault == "pdu.half_off" and power == "pdu":
        return f"{fault} needs two feeds: give {node} power: two-pdus"
    # NICs are renamed by firmware.
    if fault.startswith("bmc.") and of_outlets and fault != "bmc.nic_renamed":
        return f"{fault} strikes a BMC, and {node} hangs on outlets: give it power: ipmi"
    return ""
