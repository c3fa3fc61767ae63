"""The requests that wait, and the nodes that are free, as the scheduler remembers them between transactions.

Both are hints. What the store says is read by ids alone, and only what isn't known yet is read whole; a claim
is a conditional update, so that nothing is given twice however stale they are.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from provisioner.core.model import Instance, Node
from provisioner.core.placement.pool import Pool, is_offered
from provisioner.core.states import DEPLOYING, InstanceState, ProvisionState
from provisioner.core.turns import Request, Turn, age
from provisioner.protocols.store import Tx
from provisioner.scheduler.claims import addresses_of

READ_AT_ONCE = 256
"""Nodes that are read whole in one transaction, and ids that are named in one statement."""


class WaitingRequests:
    def __init__(self) -> None:
        self._by_id: dict[str, Request] = {}
        self._queues: dict[str, list[Request]] = {}  # of each tenant that has some: by age
        self._whole: dict[str, Instance] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def queues(self) -> Iterable[Sequence[Request]]:
        """Of each tenant, by age."""
        return self._queues.values()

    def look(self, tx: Tx) -> None:
        """Learns which have come and gone, and of those that came no more than their turns depend upon."""
        where: dict[str, Any] = {"state": InstanceState.REQUESTED, "delete_requested": False}
        ids = {id for (id,) in tx.pick(Instance, "id", where=where)}
        for gone in self._by_id.keys() - ids:
            self.done(gone)
        new = ids - self._by_id.keys()
        if new:
            if len(new) <= READ_AT_ONCE:
                where = {"id": tuple(sorted(new))}
            for request in map(Request._make, tx.pick(Instance, *Request._fields, where=where)):
                self._came(request)

    def whole(
        self, tx: Tx, turns: Iterator[Turn], at_once: int, *, looked: bool
    ) -> Iterator[tuple[Turn, Instance | None]]:
        """They are read when they are about to be tried, so many in one statement. None: it waits no longer.
        looked: this transaction has looked; if not, whoever is tried is read anew."""
        while some := list(islice(turns, at_once)):
            known = self._whole if looked else {}
            unread = tuple(turn.request.id for turn in some if turn.request.id not in known)
            if unread:
                found = {one.id: one for one in tx.find(Instance, where={"id": unread}) if _waits(one)}
                known |= found
                self._whole |= found
            for turn in some:
                yield turn, known.get(turn.request.id)

    def told(self, id: str, why: str) -> None:
        self._whole[id] = replace(self._whole[id], waiting_for=why)

    def done(self, id: str) -> None:
        """It waits no longer. Idempotent."""
        self._whole.pop(id, None)
        request = self._by_id.pop(id, None)
        if request is not None:
            queue = self._queues[request.tenant]
            del queue[bisect_left(queue, age(request), key=age)]
            if not queue:
                del self._queues[request.tenant]

    def _came(self, request: Request) -> None:
        if request.id not in self._by_id:
            self._by_id[request.id] = request
            insort(self._queues.setdefault(request.tenant, []), request, key=age)


def _waits(instance: Instance) -> bool:
    return instance.state is InstanceState.REQUESTED and not instance.delete_requested


class FreeNodes:
    """The pool, and what was taken out of it by a transaction that isn't sure yet."""

    def __init__(self) -> None:
        self._deploys: Counter[str] = Counter()
        self.pool = Pool(self._deploys)
        self._addresses: dict[str, str] = {}  # of those in the pool, and those taken
        self._taken: list[Node] = []
        self._unread: list[str] = []  # of this round of looks; the last is read first
        self._doubted = False  # what is known is read again with the next round

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

    def doubt(self) -> None:
        """What is known may have changed: the next round of looks reads all of it, not just what came."""
        self._unread.clear()
        self._doubted = True

    def look(self, tx: Tx) -> bool:
        """Learns which have come and gone; of those that came, some at a time. Whether there are more: then
        the round goes on with the next look."""
        if not self._unread:
            self._list(tx)
        read, self._unread = self._unread[-READ_AT_ONCE:], self._unread[:-READ_AT_ONCE]
        for id in read:
            self._drop(id)
        self._learn(tx, tx.find(Node, where={"id": tuple(read)}))
        for host in self.pool.owners():
            self._deploys[host] = tx.count(Node, where={"owner": host, "state": DEPLOYING})
        return bool(self._unread)

    def begin_round(self) -> None:
        """The next look lists anew what there is."""
        self._unread.clear()

    def _list(self, tx: Tx) -> None:
        known = self.pool.nodes.keys()
        where = {"state": ProvisionState.AVAILABLE, "maintenance": False}
        ids = {id for (id,) in tx.pick(Node, "id", where=where)}
        for gone in sorted(known - ids):
            self._drop(gone)
        self._unread = sorted(ids if self._doubted else ids - known, reverse=True)
        self._doubted = False

    def look_at(self, tx: Tx, node: Node) -> None:
        """It isn't as it was known."""
        self._drop(node.id)
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

    def _drop(self, id: str) -> None:
        self.pool.take(id)
        self._addresses.pop(id, None)

    def _learn(self, tx: Tx, found: list[Node]) -> None:
        offered = [node for node in found if is_offered(node)]
        self._addresses |= addresses_of(tx, tuple(node.id for node in offered))
        for node in offered:
            self.pool.put(node)
