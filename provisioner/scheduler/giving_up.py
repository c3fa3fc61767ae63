"""A request whose nodes failed, and that no other node can carry: it ends with their failure."""

from __future__ import annotations

from dataclasses import replace

from provisioner.core.model import Image, Instance, Node
from provisioner.core.placement.filters import FILTERS, free, owned
from provisioner.core.states import InstanceState
from provisioner.protocols.store import Tx

AT_ONCE = 256
LATER = tuple(refuses for refuses in FILTERS if refuses not in (free.refuses, owned.refuses))
"""What these refuse, time alone doesn't change."""


def might_fit_later(tx: Tx, instance: Instance, image: Image) -> bool:
    """Whether there is a node that could carry it if it were free."""
    after: str | None = None
    while True:
        nodes = tx.find(Node, where={"maintenance": False}, after=after, limit=AT_ONCE)
        if any(all(refuses(instance, image, node) is None for refuses in LATER) for node in nodes):
            return True
        if len(nodes) < AT_ONCE:
            return False
        after = nodes[-1].id


def give_up(tx: Tx, instance: Instance, why: str) -> None:
    """It ends in ERROR, with the failure of its last node and why no other one follows."""
    failure = instance.failure
    if failure is not None:
        parts = (failure.likely_cause, f"No other node can carry the instance: {why}")
        failure = replace(failure, likely_cause=". ".join(part for part in parts if part))
    changes = {"state": InstanceState.ERROR, "waiting_for": "", "failure": failure}
    tx.update(Instance, instance.id, changes, expect={"state": InstanceState.REQUESTED})
    tx.notify("instances", f"instance:{instance.id}")
