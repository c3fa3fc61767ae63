"""Which nodes are whose. Every change of owner raises the node's fence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from provisioner.core.model import Host, Node
from provisioner.core.sharing import hand_out, surplus
from provisioner.core.states import ACTING, ProvisionState
from provisioner.protocols.store import Tx

GENTLY = 16
"""Nodes that move at once to even out the shares of hosts that are all well."""

QUIET = tuple(state for state in ProvisionState if state not in ACTING)
"""States of a node that nobody works on."""


def adopt_at_start(tx: Tx, host: str) -> list[str]:
    """What this name owned in its last life is `host`'s anew. Returns their ids.

    One transaction, so that a node is never between two owners.
    """
    nodes = tx.find(Node, where={"owner": host})
    return [node.id for node in nodes if _give(tx, node, host, {})]


def share_out(tx: Tx, host: str) -> int:
    """Newly enrolled nodes, and those of hosts whose lease has run out, get an owner that is alive, all of
    them at once; each host does this for all. Returns how many."""
    rows = tx.find(Host)
    now = tx.now()
    orphans = tx.find(Node, where={"owner": None})
    for dead in rows:
        if dead.expires_at <= now and dead.id != host:
            orphans += _bury(tx, dead)
    if not orphans:
        return 0
    takers = _takers(rows, now) or [host]
    return _hand(tx, orphans, hand_out(_owned(tx, takers)), quiet=False)


def _bury(tx: Tx, dead: Host) -> list[Node]:
    """Its nodes; none when it lives after all. Its epoch grows with it, so that it can't prolong its lease
    when it was only asleep: it has to start anew."""
    nodes = tx.find(Node, where={"owner": dead.id})
    seen = {"epoch": dead.epoch, "expires_at": dead.expires_at}
    if not nodes or not tx.update(Host, dead.id, {"epoch": dead.epoch + 1}, expect=seen):
        return []
    return nodes


def to_give(tx: Tx, host: str) -> list[Node]:
    """Nodes that `host` should hand over: what it has beyond its share, a few at a time; all that nobody
    works on, when it is to have none. Empty as well when nobody can take them."""
    rows = tx.find(Host)
    takers = _takers(rows, tx.now())
    if all(taker == host for taker in takers):
        return []
    if host not in takers:
        nodes = tx.find(Node, where={"owner": host, "state": QUIET})
        # A root that is served from here goes on being served from here.
        return [node for node in nodes if not node.publication.root]
    most = min(GENTLY, surplus(host, _owned(tx, takers)))
    where = {"owner": host, "state": ProvisionState.AVAILABLE}
    return tx.find(Node, where=where, limit=most) if most else []


def others_take(tx: Tx, host: str) -> bool:
    """Whether there is another host that nodes can be given to."""
    return any(taker != host for taker in _takers(tx.find(Host), tx.now()))


def works(tx: Tx, host: str) -> int:
    """How many nodes of this host are being worked on."""
    return tx.count(Node, where={"owner": host, "state": tuple(ACTING)})


def give(tx: Tx, host: str, nodes: Sequence[Node]) -> int:
    """Hands these nodes over, as they are known; those that have changed meanwhile stay. Returns how many
    went."""
    takers = [taker for taker in _takers(tx.find(Host), tx.now()) if taker != host]
    return _hand(tx, nodes, hand_out(_owned(tx, takers)), quiet=True) if takers else 0


def next_lapse_s(tx: Tx, host: str) -> float | None:
    """Until the next lease of another host runs out, unless it is renewed; None when none can."""
    now = tx.now()
    left = [
        (row.expires_at - now).total_seconds()
        for row in tx.find(Host)
        if row.id != host and row.expires_at > now
    ]
    return min(left, default=None)


def _takers(rows: Iterable[Host], now: datetime) -> list[str]:
    return [row.id for row in rows if row.expires_at > now and not row.draining and not row.leaving]


def _owned(tx: Tx, hosts: Iterable[str]) -> Mapping[str, int]:
    return {host: tx.count(Node, where={"owner": host}) for host in hosts}


def _hand(tx: Tx, nodes: Iterable[Node], owners: Iterator[str], *, quiet: bool) -> int:
    """quiet: none that has begun something since it was looked at."""
    given = 0
    for node, owner in zip(nodes, owners, strict=False):
        given += _give(tx, node, owner, {"state": node.state} if quiet else {})
    if given:
        tx.notify("nodes")  # also: a node with an owner can be given to a request that waits
    return given


def _give(tx: Tx, node: Node, owner: str, also: Mapping[str, object]) -> bool:
    seen = {"fence": node.fence, "owner": node.owner, **also}
    return tx.update(Node, node.id, {"owner": owner, "fence": node.fence + 1}, expect=seen)
