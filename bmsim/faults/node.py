"""Faults of a machine."""

from __future__ import annotations

from bmsim.faults.fault import BY_HEAL, EVERYWHERE, NUMBER, By, Fault, Parameter, count

FAULTS = (
    Fault(
        "node.slow_post",
        "its power-on self test takes long, or a tilepro64 board's boot; in racks of those alone",
        BY_HEAL,
        "3 to 30 minutes on machines with much memory (RackN scaling guide)",
        (Parameter("post_s", 600, NUMBER, "how long it takes", least=0),),
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
    Fault(
        "node.hangs",
        "stops in mid-boot and does nothing any more, until it is reset or switched off",
        "after count boots, or when it is healed: then it goes on",
        "everyday",
        (
            Parameter(
                "at",
                "kernel",
                (str,),
                "how far a boot gets",
                choices=("firmware", "loader", "kernel", "agent"),
            ),
            count(),
        ),
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
    Fault(
        "node.dead_nic",
        "the cables of its NICs are unplugged",
        BY_HEAL,
        "the node can't reach the controller, and its deploy fails in silence (MAAS LP 1303925)",
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
    # Mains that come back don't start a machine: that is its BMC's business.
    Fault(
        "node.power_loss",
        "the machine is off at once",
        "when it is switched on",
        "everyday",
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
)
