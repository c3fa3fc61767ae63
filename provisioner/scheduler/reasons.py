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
from provisioner.core.placement.rows import FIELDS, of_row, without_reports
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
        # As they were read for a tenant's first wish: the next one asks for no more of the store.
        self._few: dict[str, list[Node]] = {}
        self._whole: dict[str, list[Node]] = {}
        self._nobodys: dict[str, Counter[str]] = {}
        self._states: dict[str, Counter[str]] = {}

    def __len__(self) -> int:
        """How many were found."""
        return len(self._known)

    def begin(self) -> None:
        self._known.clear()
        self.forget_nodes()

    def forget_nodes(self) -> None:
        """One of them was just taken."""
        for read in (self._few, self._whole, self._nobodys, self._states):
            read.clear()

    def known(self, instance: Instance, image: Image) -> str | None:
        """What another one with the same wish was told in this transaction."""
        return self._known.get(_wish(instance, image)) if self._known else None

    def find(self, tx: Tx, instance: Instance, image: Image) -> str:
        nodes = self._read_few(tx, instance.tenant)
        if len(nodes) <= FEW:
            if without_reports(instance) is not instance:
                nodes = self._read_whole(tx, instance.tenant, nodes)
            why = place(instance, image, nodes).explain(instance.node_name)
        else:
            why = explained(self._counted(tx, instance, image))
        self._known[_wish(instance, image)] = why
        return why

    def _read_few(self, tx: Tx, tenant: str) -> list[Node]:
        """FEW, and one more when there are more. They say nothing of what their agents reported."""
        if tenant not in self._few:
            rows = tx.pick(Node, *FIELDS, where=open_to(tenant), limit=FEW + 1)
            self._few[tenant] = [of_row(row) for row in rows]
        return self._few[tenant]

    def _read_whole(self, tx: Tx, tenant: str, few: list[Node]) -> list[Node]:
        if tenant not in self._whole:
            self._whole[tenant] = tx.find(Node, where={"id": tuple(node.id for node in few)})
        return self._whole[tenant]

    def _counted(self, tx: Tx, instance: Instance, image: Image) -> Counter[str]:
        """Of the free ones; with no node free, of all."""
        pool = self._free.pool
        reasons = pool.refusals(instance, image)
        failed = (pool.nodes[id] for id in instance.failed_on if id in pool.nodes)
        reasons.update(why for node in failed if (why := _of_that_node(instance, image, node)) is not None)
        reasons |= self._count_nobodys(tx, instance.tenant)
        return reasons or self._count_states(tx, instance.tenant)

    def _count_nobodys(self, tx: Tx, tenant: str) -> Counter[str]:
        if tenant not in self._nobodys:
            idle = {**open_to(tenant), "state": ProvisionState.AVAILABLE}
            counts = {why: tx.count(Node, where={**idle, **where}) for why, where in _NOBODYS.items()}
            self._nobodys[tenant] = +Counter(counts)
        return self._nobodys[tenant]

    def _count_states(self, tx: Tx, tenant: str) -> Counter[str]:
        if tenant not in self._states:
            where = open_to(tenant)
            counts = {
                f"it is {state}": tx.count(Node, where={**where, "state": state}) for state in ProvisionState
            }
            self._states[tenant] = +Counter(counts)
        return self._states[tenant]


def _of_that_node(instance: Instance, image: Image, node: Node) -> str | None:
    """What speaks against this one of the pool, and not against its kind."""
    if is_kept_from(node, instance.tenant) or refusal_of_its_kind(instance, image, node) is not None:
        return None
    return refusal(instance, image, node)


def _wish(instance: Instance, image: Image) -> Hashable:
    return demand_of(instance, image), instance.failed_on
