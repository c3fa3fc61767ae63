"""Faults of the wires between nodes, their BMCs and PDUs, and the compute hosts."""

from __future__ import annotations

from bmsim.faults.fault import BY_HEAL, EVERYWHERE, LIST, NUMBER, By, Fault, Parameter

PROTOCOLS = ("ipmi", "snmp", "dhcp", "tftp", "http", "agent", "iscsi", "ssh")

_PROTOCOLS = Parameter(
    "protocols",
    None,
    LIST,
    "which messages; null: all; ipmi: those of its BMC; snmp: those of the PDUs that it hangs on, which"
    " others may share",
    choices=PROTOCOLS,
)
_DIRECTION = Parameter(
    "direction",
    "both",
    (str,),
    "to_node: what is sent to the node, its BMC or its PDUs; to_host: what they send",
    choices=("both", "to_node", "to_host"),
)


def _probability(default: float) -> Parameter:
    return Parameter("probability", default, NUMBER, "of each message, from 0 to 1", least=0, most=1)


FAULTS = (
    Fault(
        "net.drop",
        "messages are lost",
        BY_HEAL,
        "everyday: UDP under load; RAKP 4 lost for the second time",
        (
            _probability(0.2),
            Parameter(
                "nth", None, (int,), "only this message of each protocol and way; null: by chance", least=1
            ),
            _PROTOCOLS,
            _DIRECTION,
            Parameter(
                "seed",
                None,
                (int,),
                "by which chance is drawn: the same seed loses the same ones; null: by the story's, for each"
                " node others; without a story 0",
            ),
        ),
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
    Fault(
        "net.delay",
        "messages come late",
        BY_HEAL,
        "deploys succeed one time in two at 268 ms round trip (MAAS discourse 4736)",
        (
            Parameter("delay_s", 0.25, NUMBER, "how much later", least=0),
            _probability(1.0),
            _PROTOCOLS,
            _DIRECTION,
        ),
    ),
    Fault(
        "net.duplicate",
        "messages come twice",
        BY_HEAL,
        "everyday: loops that a spanning tree hasn't cut yet",
        (_probability(0.2), _PROTOCOLS, _DIRECTION),
    ),
    Fault(
        "net.reorder",
        "messages overtake each other",
        BY_HEAL,
        "everyday: links that are bundled",
        (_probability(0.2), _PROTOCOLS, _DIRECTION),
    ),
    Fault(
        "net.partition",
        "nothing passes between the node, its BMC and PDUs included, and the compute hosts",
        BY_HEAL,
        "everyday: a switch that restarts; one way alone: a fibre of the two is broken",
        (_PROTOCOLS, _DIRECTION),
        fidelities=EVERYWHERE,
        by=By.RACK,
    ),
    Fault(
        "net.port_blocked_at_first",
        "the switch's port passes nothing for a while after the link came up",
        BY_HEAL,
        "STP and LACP (Ironic troubleshooting guide: no PXE boot on a port without portfast)",
        (Parameter("for_s", 30, NUMBER, "how long, from each time that the link comes up", least=0),),
    ),
)
