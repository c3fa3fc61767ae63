"""The requests that wait, and the nodes that are free, as the scheduler remembers them between transactions.

Both are hints. What the store says is read by ids alone, and only what isn't known yet is read whole; a claim
is a conditional update, so that nothing is given twice however stale they are.
"""

from __future__ import annotations

from collections import Counter

from provisioner.core.model import Instance, Node
from provisioner.core.placement.pool import Pool, is_offered
from provisioner.core.states import DEPLOYING, InstanceState, ProvisionState
from provisioner.protocols.store import Tx
from provisioner.scheduler.claims import addresses_of

READ_AT_ONCE = 256
"""Nodes or requests that are read whole in one statement; of nodes, in one transaction."""


class WaitingRequests:
    def __init__(self) -> None:
        self.by_id: dict[str, Instance] = {}

    def look(self, tx: Tx) -> None:
        """Learns which have come and gone."""
        where = {"state": InstanceState.REQUESTED, "delete_requested": False}
        ids = {id for (id,) in tx.pick(Instance, "id", where=where)}
        for gone in self.by_id.keys() - ids:
            del self.by_id[gone]
        new = sorted(ids - self.by_id.keys())
        for begin in range(0, len(new), READ_AT_ONCE):
            for instance in tx.find(Instance, where={"id": tuple(new[begin : begin + READ_AT_ONCE])}):
                self.by_id[instance.id] = instance


class FreeNodes:
    """The pool, and what was taken out of it by a transaction that isn't sure yet."""

    def __init__(self) -> None:
        self._deploys: Counter[str] = Counter()
        self.pool = Pool(self._deploys)
        self._addresses: dict[str, str] = {}  # of those in the pool, and those taken
        self._taken: list[Node] = []
        self._passed_over: set[str] = set()  # read in this round of looks: some of them nobody can have yet

    def begin(self) -> None:
        """A transaction begins, or the same one anew: what it took the last time, it didn't."""
        for node in self._taken:
            self.pool.put(node)
            self._deploys[node.owner or ""] -= 1
        self._taken.clear()

    def sure(self) -> None:
        """What was taken is stored."""
        for node in self._taken:
            self._addresses.pop(node.id, None)
        self._taken.clear()

    def forget(self) -> None:
        """All of it: it is read anew with the next look."""
        self._deploys.clear()
        self._passed_over.clear()
        self._addresses.clear()
        self.pool = Pool(self._deploys)
        self._taken.clear()

    def look(self, tx: Tx) -> bool:
        """Learns which have come and gone; of those that came, some at a time. Whether there are more."""
        known = self.pool.nodes.keys()
        where = {"state": ProvisionState.AVAILABLE, "maintenance": False}
        ids = {id for (id,) in tx.pick(Node, "id", where=where)}
        for gone in sorted(known - ids):
            self.pool.take(gone)
            self._addresses.pop(gone, None)
        new = sorted(ids - known - self._passed_over)
        self._learn(tx, tx.find(Node, where={"id": tuple(new[:READ_AT_ONCE])}))
        for host in self.pool.owners():
            self._deploys[host] = tx.count(Node, where={"owner": host, "state": DEPLOYING})
        if len(new) > READ_AT_ONCE:
            self._passed_over.update(new[:READ_AT_ONCE])
            return True
        self._passed_over.clear()
        return False

    def look_at(self, tx: Tx, node: Node) -> None:
        """It isn't as it was known."""
        self.pool.take(node.id)
        self._addresses.pop(node.id, None)
        found = tx.get(Node, node.id)
        self._learn(tx, [] if found is None else [found])

    def address(self, tx: Tx, node: Node) -> str:
        """Of one that may not be in the pool, too; empty when it has no port."""
        if node.id not in self._addresses:
            return addresses_of(tx, (node.id,)).get(node.id, "")
        return self._addresses[node.id]

    def took(self, node: Node) -> None:
        """It is somebody's now, if the transaction lasts."""
        known = self.pool.take(node.id)
        if known is not None:
            self._taken.append(known)
            self._deploys[node.owner or ""] += 1

    def _learn(self, tx: Tx, found: list[Node]) -> None:
        offered = [node for node in found if is_offered(node)]
        self._addresses |= addresses_of(tx, tuple(node.id for node in offered))
        for node in offered:
            self.pool.put(node)
