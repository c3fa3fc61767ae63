"""Faults of NFS roots. Written down; no rack has one yet."""

from __future__ import annotations

from bmsim.faults.fault import BY_HEAL, NOWHERE_YET, Fault, Strikes

FAULTS = (
    Fault(
        "nfs.server_gone",
        "the NFS server of nodes that run from it dies",
        BY_HEAL,
        "the blueprint of general bare-metal provisioning, 2012: image by NFS root",
        strikes=Strikes.RACK,
        fidelities=NOWHERE_YET,
    ),
)
