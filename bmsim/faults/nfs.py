"""Faults of NFS roots."""

from __future__ import annotations

from bmsim.faults.fault import BY_HEAL, MODEL, Fault, Strikes

FAULTS = (
    Fault(
        "nfs.server_gone",
        "a compute host's NFS server doesn't answer; nodes that mount their roots there wait, and go on",
        BY_HEAL,
        "the blueprint of general bare-metal provisioning, 2012: image by NFS root",
        strikes=Strikes.HOST,
        fidelities=MODEL,
    ),
)
