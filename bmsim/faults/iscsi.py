"""Faults of iSCSI."""

from __future__ import annotations

from bmsim.faults.fault import NUMBER, Fault, Parameter, count

FAULTS = (
    Fault(
        "iscsi.session_lost",
        "the connection is cut in mid-write",
        "after count connections, or when it is healed",
        "errors that told nothing, for which Ironic dropped iSCSI (openstack-discuss, August 2020)",
        (
            Parameter("after_mib", 1, NUMBER, "how much is written before", least=0),
            count("how many connections"),
        ),
    ),
)
