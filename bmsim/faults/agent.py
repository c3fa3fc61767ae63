"""Faults of what the agent in a node's ramdisk reports."""

from __future__ import annotations

from bmsim.faults.fault import BY_HEAL, EVERYWHERE, NUMBER, By, Fault, Parameter

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
        "what it has reported comes again, from its own address",
        BY_HEAL,
        "nova LP 1184470: the callback comes again",
        fidelities=EVERYWHERE,
        by=By.RUNNER,
    ),
    Fault(
        "agent.stale_token",
        "with each of its reports, the one of an earlier deploy comes again, under the token of then",
        BY_HEAL,
        "nova LP 1184470: a machine that is still in the ramdisk of the deploy before",
        fidelities=EVERYWHERE,
        by=By.RUNNER,
    ),
)
