"""Faults of DHCP."""

from __future__ import annotations

from bmsim.faults.fault import BY_HEAL, EVERYWHERE, By, Fault, Parameter, count

FAULTS = (
    Fault(
        "dhcp.rival",
        "a second DHCP server answers the node, and tells it to boot something that nobody has",
        BY_HEAL,
        "eks-anywhere #5008",
        (
            Parameter("address", None, (str,), "what it offers; null: one of the subnet's last"),
            Parameter("boot_file", "rival/boot.kpxe", (str,), "what it tells to boot"),
        ),
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
    Fault(
        "dhcp.lost_offer",
        "offers are lost; the client backs off and asks again",
        "after count offers, or when it is healed",
        "everyday: a port that comes up slowly, a relay that is busy",
        (count("how many offers"),),
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
)
