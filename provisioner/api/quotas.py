"""How many instances a tenant may have, and without a quota how many may wait for a node."""

from __future__ import annotations

from provisioner.api.context import ApiContext
from provisioner.core.model import Instance, Node
from provisioner.core.states import LIVE, InstanceState
from provisioner.protocols.store import Tx

ANY = "*"
"""Stands for each tenant that isn't named."""


def quota(context: ApiContext, tenant: str) -> int | None:
    """None: as many as there are nodes."""
    return context.quotas.get(tenant, context.quotas.get(ANY))


def left(tx: Tx, context: ApiContext, tenant: str, asked: int = 1) -> int:
    """How many more it may have, if that is fewer than asked for; else as many or more. By a quota, who was
    refused a node, or failed, counts until it is deleted. Without one, only who waits for a node counts."""
    most = quota(context, tenant)
    if most is not None:
        return max(0, most - tx.count(Instance, where={"tenant": tenant, "state": LIVE}))
    most, waits = context.limits.policy.waiting_instances, {"state": InstanceState.REQUESTED}
    # Everybody's are counted in no time, and mostly leave room.
    everybody = tx.count(Instance, where=waits)
    if most - everybody < asked:
        most = max(most, tx.count(Node))
    if most - everybody >= asked:
        return most - everybody
    return max(0, most - tx.count(Instance, where={"tenant": tenant, **waits}))


def failed(tx: Tx, tenant: str) -> int:
    """Of those that count by a quota, how many have failed: their nodes are theirs until they are deleted."""
    return tx.count(Instance, where={"tenant": tenant, "state": InstanceState.ERROR})
