"""Faults of power distribution units, given for a node that hangs on their outlets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from bmsim.faults.fault import BY_HEAL, EVERYWHERE, NUMBER, By, Fault, Parameter

_fault = partial(Fault, fidelities=EVERYWHERE, by=By.RACK)
_feed = Parameter("feed", None, (int,), "of which of the node's outlets, from 1; null: of all", least=1)

FAULTS = (
    _fault(
        "pdu.slow_queue",
        "serves one message at a time, and answers late",
        BY_HEAL,
        "pdudaemon: PDUs can't handle many requests",
        (
            Parameter(
                "each_s", 2, NUMBER, "how long a message takes, where it didn't take longer before", least=0
            ),
            _feed,
        ),
    ),
    _fault(
        "pdu.outlet_stuck",
        "an outlet stays as it is: its relay is welded",
        "when it is healed, and the outlet is told again",
        "sonic-mgmt #13793",
        (
            Parameter("tells_command", False, (bool,), "whether it tells what it commanded, not what is"),
            _feed,
        ),
    ),
    _fault(
        "pdu.wrong_wiring",
        "another machine hangs on the node's outlets, and the node on that one's",
        BY_HEAL,
        "everyday: a rack that somebody has tidied up",
        (Parameter("other", None, (str,), "that other machine; null: the next one on the same PDU"),),
    ),
    _fault(
        "pdu.pending",
        "an outlet is told as on its way for a while, where that has a word; else as it was",
        "after for_s, or when it is healed",
        "Ironic, notes of the SNMP driver",
        (
            Parameter("for_s", 10, NUMBER, "how long after each command that it is given meanwhile", least=0),
            _feed,
        ),
    ),
    _fault(
        "pdu.half_off",
        "of several feeds all but the first stay on, and so does the machine",
        "when it is healed, and the outlets are told again",
        "sonic-mgmt #13793",
    ),
    _fault(
        "pdu.unreachable",
        "doesn't answer; told as: the node did not shut down",
        BY_HEAL,
        "sonic-mgmt #24849",
        (_feed,),
    ),
)


def strikes_feed(fault: str, parameters: Mapping[str, Any], feed: int) -> bool:
    """Whether a node's fault is one of this feed of it. feed: from 0, as the node's outlets are written."""
    if fault == "pdu.half_off":
        # The first obeys: half off is what comes of it.
        return feed > 0
    return parameters.get("feed") in (None, feed + 1)


def feeds_needed(fault: str, parameters: Mapping[str, Any]) -> int:
    """On how many outlets a node has to hang for the fault to strike one."""
    return 2 if fault == "pdu.half_off" else int(parameters.get("feed") or 1)
