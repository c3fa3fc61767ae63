"""Faults of TFTP."""

from __future__ import annotations

from bmsim.faults.fault import BY_HEAL, EVERYWHERE, By, Fault, Parameter

FAULTS = (
    Fault(
        "tftp.stall",
        "transfers stop after a block, as long as it lasts",
        BY_HEAL,
        "iDRAC8 across subnets (tinkerbell #728)",
        (Parameter("after_block", 10, (int,), "number of the last block that arrives", least=0),),
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
)
