"""Which nodes are whose. Every change of owner raises the node's fence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.compute.membership import Membership
from provisioner.core.model import Host, Node
from provisioner.core.sharing import hand_out, surplus
from provisioner.core.states import ACTING, ProvisionState
from provisioner.protocols.store import Tx

GENTLY = 16
"""Nodes that move at once to even out the shares of hosts that are all well."""

READ_AT_ONCE = 1_000
"""Nodes, by their ids: how many a condition may name is bounded."""

WITH_OWNERS = ("nodes", "work", "offers")
"""Who is told of new owners: a node with one can be given to a request that waits."""

QUIET = tuple(state for state in ProvisionState if state not in ACTING)
"""States of a node that nobody works on."""


def adopt_at_start(tx: Tx, host: str) -> list[str]:
    """What this name owned in its last life is `host`'s anew. Returns their ids.

    One transaction, so that a node is never between two owners.
    """
    nodes = tx.find(Node, where={"owner": host})
    _give_all(tx, ((node, host) for node in nodes))
    return [node.id for node in nodes]


@dataclass(frozen=True, slots=True)
class Hosts:
    """All compute hosts as one of them, `name`, saw them at one moment."""

    name: str
    alive: tuple[Host, ...]
    dead: tuple[Host, ...]

    @classmethod
    def seen(cls, tx: Tx, membership: Membership, name: str, monotonic_s: Callable[[], float]) -> Hosts:
        rows = tx.find(Host)
        now_s = monotonic_s()  # after they were read: later than each of them was written
        membership.observe(rows, now_s)
        left_s = {row.id: membership.left_s(row, now_s) for row in rows}
        return cls(
            name,
            tuple(row for row in rows if left_s[row.id]),
            tuple(row for row in rows if not left_s[row.id]),
        )

    @property
    def names(self) -> frozenset[str]:
        return frozenset(row.id for row in (*self.alive, *self.dead))

    @property
    def takers(self) -> list[str]:
        """Those that nodes can be given to."""
        return [row.id for row in self.alive if row.takes_nodes]

    @property
    def others(self) -> list[str]:
        """Of these, all but ourselves."""
        return [taker for taker in self.takers if taker != self.name]


def share_out(tx: Tx, hosts: Hosts, *, owners: Collection[str] = ()) -> int:
    """Newly enrolled nodes, and those of hosts whose lease has run out, get an owner that is alive, all of
    them at once; each host does this for all. Returns how many.

    owners: as `owners_of` told them a moment ago; nodes of those that have no row any more are shared out too
    """
    orphans = tx.find(Node, where={"owner": None})
    for dead in hosts.dead:
        orphans += _bury(tx, dead)
    if forgotten := set(owners) - hosts.names:
        orphans += tx.find(Node, where={"owner": tuple(sorted(forgotten))})
    if not orphans:
        return 0
    takers = hosts.takers or [hosts.name]
    given = _give_all(tx, zip(orphans, hand_out(_owned(tx, takers)), strict=False))
    tx.notify(*WITH_OWNERS)
    return given


def _bury(tx: Tx, dead: Host) -> list[Node]:
    """Its nodes; none when it lives after all. Its epoch grows with it, so that it can't prolong its lease
    when it was only asleep: it has to start anew."""
    nodes = tx.find(Node, where={"owner": dead.id})
    seen = {"epoch": dead.epoch, "beat": dead.beat}
    if not nodes or not tx.update(Host, dead.id, {"epoch": dead.epoch + 1}, expect=seen):
        return []
    return nodes


def to_give(tx: Tx, hosts: Hosts) -> list[Node]:
    """Nodes that this host should hand over: what it has beyond its share, a few at a time; all that nobody
    works on, when it is to have none. Empty as well when nobody can take them."""
    if not hosts.others:
        return []
    takers = hosts.takers
    if hosts.name not in takers:
        nodes = tx.find(Node, where={"owner": hosts.name, "state": QUIET})
        # A root that is served from here goes on being served from here.
        return [node for node in nodes if not node.publication.root]
    most = min(GENTLY, surplus(hosts.name, _owned(tx, takers)))
    where = {"owner": hosts.name, "state": ProvisionState.AVAILABLE}
    return tx.find(Node, where=where, limit=most) if most else []


def give(tx: Tx, hosts: Hosts, nodes: Sequence[Node]) -> int:
    """Hands these nodes over, as they are known; those that have changed meanwhile stay. Returns how many
    went."""
    if not hosts.others:
        return 0
    now = _seen_now(tx, [node.id for node in nodes])
    # None that has begun something since it was looked at.
    ready = [node for node in nodes if now.get(node.id) == (node.fence, node.owner, node.state)]
    given = _give_all(tx, zip(ready, hand_out(_owned(tx, hosts.others)), strict=False))
    if given:
        tx.notify(*WITH_OWNERS)
    return given


def next_to_try(tx: Tx, hosts: Hosts, tried: Iterable[str]) -> str | None:
    """Of the hosts that nodes can be given to, one that isn't among `tried`: the one with fewest nodes."""
    left = sorted(set(hosts.takers).difference(tried))
    return next(hand_out(_owned(tx, left))) if left else None


def works(tx: Tx, host: str) -> int:
    """How many nodes of this host are being worked on."""
    return tx.count(Node, where={"owner": host, "state": tuple(ACTING)})


def owners_of(tx: Tx) -> set[str]:
    """Of all nodes. It reads each row, so whoever else writes a node is in its way, and it in theirs: to be
    asked for in a transaction that does nothing else."""
    return {owner for (owner,) in tx.pick(Node, "owner") if owner is not None}


def _owned(tx: Tx, hosts: Iterable[str]) -> Mapping[str, int]:
    return {host: tx.count(Node, where={"owner": host}) for host in hosts}


def _seen_now(tx: Tx, ids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    found = list[tuple[Any, ...]]()
    for start in range(0, len(ids), READ_AT_ONCE):
        some = {"id": tuple(ids[start : start + READ_AT_ONCE])}
        found += tx.pick(Node, "id", "fence", "owner", "state", where=some)
    return {id: tuple(seen) for id, *seen in found}


def _give_all(tx: Tx, given: Iterable[tuple[Node, str]]) -> int:
    """Nodes that were read in this transaction, and are as they were: it is serializable."""
    changes = {node.id: {"owner": owner, "fence": node.fence + 1} for node, owner in given}
    return tx.update_all(Node, changes)
