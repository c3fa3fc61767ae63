"""Which nodes are whose. Every change of owner raises the node's fence."""

from __future__ import annotations

from provisioner.core.model import Host, Node
from provisioner.protocols.store import Tx


def adopt_at_start(tx: Tx, host: str) -> list[str]:
    """All nodes that nobody alive owns, and those of this name's last life, become `host`'s.

    One transaction, so that a node is never between two owners. Returns their ids.
    """
    now = tx.now()
    alive = {row.id for row in tx.find(Host) if row.expires_at > now and row.id != host}
    return [node.id for node in tx.find(Node) if node.owner not in alive and _take(tx, node, host)]


def adopt_unowned(tx: Tx, host: str) -> list[str]:
    """Newly enrolled nodes, and those of hosts whose lease has run out."""
    now = tx.now()
    dead = tuple(row.id for row in tx.find(Host) if row.expires_at <= now and row.id != host)
    nodes = tx.find(Node, where={"owner": None})
    if dead:
        nodes += tx.find(Node, where={"owner": dead})
    return [node.id for node in nodes if _take(tx, node, host)]


def next_lapse_s(tx: Tx, host: str) -> float | None:
    """Until the next lease of another host runs out, unless it is renewed; None when none can."""
    now = tx.now()
    left = [
        (row.expires_at - now).total_seconds()
        for row in tx.find(Host)
        if row.id != host and row.expires_at > now
    ]
    return min(left, default=None)


def _take(tx: Tx, node: Node, host: str) -> bool:
    tx.notify("nodes")  # a node with an owner can be given to a request that waits
    return tx.update(Node, node.id, {"owner": host, "fence": node.fence + 1}, expect={"fence": node.fence})
