"""Why a request waits, found once for all that ask for the same. Nodes that are kept for another tenant have
no part in it: whoever reads it is to learn nothing of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping

from provisioner.core.model import Image, Instance, Node
from provisioner.core.placement.answer import explained
from provisioner.core.placement.filters import refusal, refusal_of_its_kind
from provisioner.core.placement.kind import demand_of
from provisioner.core.placement.place import place
from provisioner.core.reservation import is_kept_from, open_to
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Tx
from provisioner.scheduler.memory import FreeNodes

FEW = 20
"""So many nodes are looked at one by one, which tells more."""

_NOBODYS: Mapping[str, Mapping[str, object]] = {
    "it is in maintenance": {"maintenance": True},
    "no compute host owns it": {"maintenance": False, "owner": None},
}
"""Of nodes that are idle and in no pool: in the filters' words."""


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
        pool = self._free.pool
        reasons = pool.refusals(instance, image)
        failed = (pool.nodes[id] for id in instance.failed_on if id in pool.nodes)
        reasons.update(why for node in failed if (why := _of_that_node(instance, image, node)) is not None)
        known = open_to(instance.tenant)
        idle = {**known, "state": ProvisionState.AVAILABLE}
        for why, where in _NOBODYS.items():
            number = tx.count(Node, where={**idle, **where})
            if number:
                reasons[why] = number
        if not reasons:
            for state in ProvisionState:
                number = tx.count(Node, where={**known, "state": state})
                if number:
                    reasons[f"it is {state}"] = number
        return reasons


def _of_that_node(instance: Instance, image: Image, node: Node) -> str | None:
    """What speaks against this one of the pool, and not against its kind."""
    if is_kept_from(node, instance.tenant) or refusal_of_its_kind(instance, image, node) is not None:
        return None
    return refusal(instance, image, node)


def _wish(instance: Instance, image: Image) -> Hashable:
    return demand_of(instance, image), instance.failed_on
