"""Faults of a compute host."""

from __future__ import annotations

from functools import partial

from bmsim.faults.fault import BY_HEAL, EVERYWHERE, NUMBER, By, Fault, Parameter, Strikes

_fault = partial(Fault, strikes=Strikes.HOST)
_runner = partial(_fault, fidelities=EVERYWHERE, by=By.RUNNER)

FAULTS = (
    _runner(
        "host.kill",
        "is killed at once",
        "when it is healed: it is started again",
        "Ironic marks the deploys of a dead conductor failed; everyday: a kernel that panics",
    ),
    _runner(
        "host.end",
        "is told to end (SIGTERM): hands over what it can, and ends",
        "when it is healed: it is started again, once it has ended",
        "everyday: an upgrade, a machine that is shut down; what was begun then goes on in BMCs and PDUs",
        (Parameter("at_once", False, (bool,), "it is to hand nothing over first (SIGINT)"),),
    ),
    _runner(
        "host.stop",
        "stands still, and thinks afterwards that no time has passed",
        "when it is healed: it goes on",
        "a virtual machine that is paused or moved; swapping",
        (
            Parameter(
                "unguarded", False, (bool,), "what ends its children with its lease is killed just before"
            ),
        ),
    ),
    _runner(
        "host.restart",
        "is killed and started again at once",
        "by itself",
        "everyday: an upgrade, a watchdog",
    ),
    _fault(
        "host.partition",
        "is cut off from the nodes, their BMCs and all PDUs, from the store, or from both",
        BY_HEAL,
        "everyday: a switch that restarts, a firewall rule too many",
        (
            Parameter("from", "nodes", (str,), "what it can't reach", choices=("nodes", "store", "both")),
            Parameter("one_way", False, (bool,), "what it sends arrives, answers don't"),
        ),
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
    _fault(
        "host.clock_jump",
        "the wall clock of its store jumps, the only one that it reads: so for all that share a database",
        "when it is healed: it jumps back",
        "everyday: the first NTP answer, a battery that is empty",
        (Parameter("by_s", 3600, NUMBER, "how far ahead; below 0: back"),),
    ),
    _fault(
        "host.disk_full",
        "has no space left to write to",
        BY_HEAL,
        "everyday: an image too many, a log that nobody rotates",
    ),
)
