"""How many instances a tenant may have."""

from __future__ import annotations

from provisioner.api.context import ApiContext
from provisioner.core.model import Instance
from provisioner.core.states import LIVE
from provisioner.protocols.store import Tx

ANY = "*"
"""Stands for each tenant that isn't named."""


def quota(context: ApiContext, tenant: str) -> int | None:
    """None: as many as there are nodes."""
    return context.quotas.get(tenant, context.quotas.get(ANY))


def left(tx: Tx, context: ApiContext, tenant: str) -> int | None:
    """How many more it may have; None: as many as there are nodes. Who was refused a node, or failed, counts
    until it is deleted."""
    most = quota(context, tenant)
    if most is None:
        return None
    return max(0, most - tx.count(Instance, where={"tenant": tenant, "state": LIVE}))
