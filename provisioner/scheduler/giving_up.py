"""A request whose nodes failed, and that no other node can carry: it ends with their failure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from provisioner.core.model import Image, Instance, Node
from provisioner.core.placement.filters import FILTERS, free, owned
from provisioner.core.placement.rows import FIELDS, of_row, without_reports
from provisioner.core.states import InstanceState
from provisioner.protocols.store import Store, Tx

AT_ONCE = 256
"""Nodes read in one transaction."""

DOUBTED_AT_ONCE = 20
"""Requests for which nodes are looked at together."""

LATER = tuple(refuses for refuses in FILTERS if refuses not in (free.refuses, owned.refuses))
"""What these refuse, time alone doesn't change."""


class Doubts:
    """Whether the nodes that failed requests were the only ones that could carry them. It takes a long look,
    once for each: so it is taken between the scheduler's transactions, in short ones."""

    def __init__(self) -> None:
        self._patient: set[str] = set()  # requests that other nodes may carry once they are free
        self._hopeless: set[str] = set()  # found so since the last transaction
        self._doubted: dict[str, tuple[Instance, Image]] = {}

    def begin_anew(self) -> None:
        """Nodes that others waited for may be gone since."""
        self._patient.clear()

    def begin(self) -> None:
        """A transaction begins, or the same one anew."""
        self._doubted.clear()

    def is_hopeless(self, instance: Instance, image: Image) -> bool:
        """False, too, of one that is still to be looked at."""
        if instance.id in self._hopeless:
            return True
        if instance.id not in self._patient:
            self._doubted[instance.id] = instance, image
        return False

    def placed(self, id: str) -> None:
        self._patient.discard(id)

    async def look(self, store: Store) -> list[str]:
        """After a transaction. Requests that the next one is to try: hopeless ones, and those that weren't
        looked at yet."""
        self._hopeless.clear()
        doubted = list(self._doubted.items())
        open_, later = dict(doubted[:DOUBTED_AT_ONCE]), doubted[DOUBTED_AT_ONCE:]
        after: str | None = None
        while open_:
            nodes = await store.transact(partial(_some, after))
            for id, (instance, image) in list(open_.items()):
                if await _might_carry(store, instance, image, nodes):
                    self._patient.add(id)
                    del open_[id]
            if len(nodes) < AT_ONCE:
                break
            after = nodes[-1].id
        self._hopeless.update(open_)
        return [*open_, *(id for id, _ in later)]


def _some(after: str | None, tx: Tx) -> list[Node]:
    rows = tx.pick(Node, *FIELDS, where={"maintenance": False}, after=after, limit=AT_ONCE)
    return [of_row(row) for row in rows]


async def _might_carry(store: Store, instance: Instance, image: Image, nodes: Iterable[Node]) -> bool:
    """Whether one of these nodes could carry it if it were free."""
    lesser = without_reports(instance)
    fitting = tuple(node.id for node in nodes if _fits_later(lesser, image, node))
    if lesser is instance or not fitting:
        return bool(fitting)
    whole = await store.transact(lambda tx: tx.find(Node, where={"id": fitting}))
    return any(_fits_later(instance, image, node) for node in whole)


def _fits_later(instance: Instance, image: Image, node: Node) -> bool:
    return all(refuses(instance, image, node) is None for refuses in LATER)


def give_up(tx: Tx, instance: Instance, why: str) -> None:
    """It ends in ERROR, with the failure of its last node and why no other one follows."""
    failure = instance.failure
    if failure is not None:
        parts = (failure.likely_cause, f"No other node can carry the instance: {why}")
        failure = replace(failure, likely_cause=". ".join(part for part in parts if part))
    changes = {"state": InstanceState.ERROR, "waiting_for": "", "failure": failure}
    tx.update(Instance, instance.id, changes, expect={"state": InstanceState.REQUESTED})
    tx.notify("instances", f"instance:{instance.id}")
