"""Faults of what the agent in a node's ramdisk reports."""

from __future__ import annotations

from bmsim.faults.fault import BY_HEAL, NUMBER, Fault, Parameter

FAULTS = (
    Fault(
        "agent.late",
        "reports late",
        BY_HEAL,
        "nova LP 1184470",
        (Parameter("delay_s", 30, NUMBER, "how much later", least=0),),
    ),
    Fault(
        "agent.twice",
        "reports again what it has reported",
        BY_HEAL,
        "nova LP 1184470: the callback comes again",
    ),
    Fault(
        "agent.stale_token",
        "reports with the token of an earlier deploy",
        BY_HEAL,
        "nova LP 1184470: a machine that is still in the ramdisk of the deploy before",
    ),
)
