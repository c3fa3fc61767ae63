"""Faults of power distribution units. Written down; no rack has a PDU yet."""

from __future__ import annotations

from functools import partial

from bmsim.faults.fault import BY_HEAL, NOWHERE_YET, NUMBER, Fault, Parameter

_fault = partial(Fault, fidelities=NOWHERE_YET)

FAULTS = (
    _fault(
        "pdu.slow_queue",
        "serves one command at a time, and answers late",
        BY_HEAL,
        "pdudaemon: PDUs can't handle many requests",
        (Parameter("each_s", 5, NUMBER, "how long a command takes", least=0),),
    ),
    _fault(
        "pdu.outlet_stuck",
        "an outlet stays as it is: its relay is welded",
        BY_HEAL,
        "sonic-mgmt #13793",
    ),
    _fault(
        "pdu.wrong_wiring",
        "another machine hangs on the outlet than is written down",
        BY_HEAL,
        "everyday: a rack that somebody has tidied up",
    ),
    _fault(
        "pdu.pending",
        "an outlet's state is told as pending for a while",
        "after for_s, or when it is healed",
        "Ironic, notes of the SNMP driver",
        (Parameter("for_s", 10, NUMBER, "how long after each command", least=0),),
    ),
    _fault(
        "pdu.half_off",
        "one of two feeds stays on, and so does the machine",
        BY_HEAL,
        "sonic-mgmt #13793",
    ),
    _fault(
        "pdu.unreachable",
        "doesn't answer; told as: the node did not shut down",
        BY_HEAL,
        "sonic-mgmt #24849",
    ),
)
