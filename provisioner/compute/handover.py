"""Nodes that go to other hosts while all are well: to even out shares, to drain this host, to end it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from provisioner.compute.edges import Edges
from provisioner.compute.ownership import Hosts, give, to_give, works
from provisioner.core.model import Node
from provisioner.protocols.store import Tx

log = structlog.get_logger(__name__)

BALANCE_EVERY_S = 5.0


class Handover:
    """hosts: who there is. withdraw(node_id): what this host serves to a node is served no more.
    busy(node_id): it is in use."""

    def __init__(
        self,
        edges: Edges,
        hosts: Callable[[Tx], Hosts],
        withdraw: Callable[[str], Awaitable[None]],
        busy: Callable[[str], bool],
    ) -> None:
        self._edges = edges
        self._hosts = hosts
        self._withdraw = withdraw
        self._busy = busy
        self._ends_s: float | None = None
        self._told = False
        self._balance_s = 0.0
        self.done = False
        """This host may end: it has nothing left that it could hand over, or no time left for it."""

    def begin(self) -> None:
        """This host is about to end, in `drain_s` at most."""
        if self._ends_s is None:
            self._ends_s = self._edges.clock.monotonic_s() + self._edges.drain_s

    async def go_on(self, hosts: Hosts) -> None:
        """Hands over what can be handed over now. hosts: as they were seen last. Raises TransientError."""
        lease, store = self._edges.lease, self._edges.store
        if self._ends_s is not None and not self._told:
            await lease.leave()
            self._told = True
        now_s = self._edges.clock.monotonic_s()
        well = self._ends_s is None and hosts.name in hosts.takers
        if well and now_s < self._balance_s:
            return
        self._balance_s = now_s + BALANCE_EVERY_S
        found = await store.transact(lambda tx: to_give(tx, self._hosts(tx)))
        nodes = [node for node in found if not self._busy(node.id)]
        if nodes:
            await self._give(nodes)
        if self._ends_s is not None:
            nobody = not await store.transact(lambda tx: self._hosts(tx).others)
            working = await store.transact(lambda tx: works(tx, lease.host))
            self.done = nobody or not working or now_s >= self._ends_s

    async def _give(self, nodes: list[Node]) -> None:
        """Withdrawn first: no two hosts ever serve one node."""
        host = self._edges.lease.host
        for node in nodes:
            await self._withdraw(node.id)
        given = await self._edges.store.transact(lambda tx: give(tx, self._hosts(tx), nodes))
        log.info("host.handed_over", host=host, nodes=given)
