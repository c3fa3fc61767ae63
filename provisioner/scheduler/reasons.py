"""Why a request waits, found once for all that ask for the same. Nodes that are kept for another tenant have
no part in it: whoever reads it is to learn nothing of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from provisioner.core.model import Image, Instance, Node
from provisioner.core.placement.answer import explained
from provisioner.core.placement.kind import demand_of
from provisioner.core.placement.place import place
from provisioner.core.reservation import open_to
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Tx
from provisioner.scheduler.memory import FreeNodes

FEW = 20
"""So many nodes are looked at one by one, which tells more."""


class Reasons:
    """Of one transaction; a request that has none is to be tried."""

    def __init__(self, free: FreeNodes) -> None:
        self._free = free
        self._known: dict[Hashable, str] = {}

    def begin(self) -> None:
        self._known.clear()

    def known(self, instance: Instance, image: Image) -> str | None:
        """What another one with the same wish was told in this transaction."""
        return self._known.get(_wish(instance, image)) if self._known else None

    def find(self, tx: Tx, instance: Instance, image: Image) -> str:
        nodes = tx.find(Node, where=open_to(instance.tenant), limit=FEW + 1)
        if len(nodes) <= FEW:
            why = place(instance, image, nodes).explain(instance.node_name)
        else:
            why = explained(self._counted(tx, instance, image))
        self._known[_wish(instance, image)] = why
        return why

    def _counted(self, tx: Tx, instance: Instance, image: Image) -> Counter[str]:
        """Of the free ones; with no node free, of all."""
        reasons = self._free.pool.refusals(instance, image)
        known = open_to(instance.tenant)
        kept_back = tx.count(Node, where={**known, "state": ProvisionState.AVAILABLE, "maintenance": True})
        if kept_back:
            reasons["it is in maintenance"] = kept_back
        if not reasons:
            for state in ProvisionState:
                number = tx.count(Node, where={**known, "state": state})
                if number:
                    reasons[f"it is {state}"] = number
        return reasons


def _wish(instance: Instance, image: Image) -> Hashable:
    return demand_of(instance, image), instance.failed_on
