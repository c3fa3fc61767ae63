"""Nodes that go to other hosts while all are well: to even out shares, to drain this host, to end it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from math import inf

import structlog

from provisioner.compute.edges import Edges
from provisioner.compute.ownership import Hosts, give, to_give, works
from provisioner.core.model import Node
from provisioner.protocols.store import Tx

log = structlog.get_logger(__name__)

BALANCE_EVERY_S = 5.0
SETTLED_S = 300.0
"""Once shares are even, they are looked at so often."""

ENDING_S = 2.0


class Handover:
    """withdraw(node_ids): what this host serves to nodes is served no more, of those that it returns.
    busy(node_id): it is in use."""

    def __init__(
        self,
        edges: Edges,
        withdraw: Callable[[Sequence[str]], Awaitable[Collection[str]]],
        busy: Callable[[str], bool],
    ) -> None:
        self._edges = edges
        self._withdraw = withdraw
        self._busy = busy
        self._ends_s: float | None = None
        self._told = False
        self._finished = False
        self._balance_s = 0.0
        self._under_way = False
        self._takers: list[str] = []

    def begin(self) -> None:
        """This host is about to end, in `drain_s` at most."""
        if self._ends_s is None:
            self._ends_s = self._edges.clock.monotonic_s() + self._edges.drain_s

    @property
    def begun(self) -> bool:
        return self._ends_s is not None

    @property
    def done(self) -> bool:
        """This host may end: it has nothing left that it could hand over, or no time left for it, also when
        nothing could be handed over because the store is away."""
        return self._finished or (
            self._ends_s is not None and self._edges.clock.monotonic_s() >= self._ends_s
        )

    @property
    def quiet_s(self) -> float:
        """Until it has to go on at the latest; infinite: there is nothing to do."""
        if self._ends_s is not None:
            return max(0.0, min(ENDING_S, self._ends_s - self._edges.clock.monotonic_s()))
        return BALANCE_EVERY_S if self._under_way else inf

    async def go_on(self, hosts: Hosts, *, commands: int = 0) -> None:
        """Hands over what can be handed over now. Raises TransientError.

        hosts:    as they were seen last
        commands: how many of operators are being carried out
        """
        edges, host = self._edges, self._edges.lease.host
        if self._ends_s is not None and not self._told:
            await edges.lease.leave()
            self._told = True
        now_s = edges.clock.monotonic_s()
        well = self._ends_s is None and hosts.name in hosts.takers
        # Reading how much everybody has is dear; mostly nothing has come or gone.
        if well and hosts.takers == self._takers and now_s < self._balance_s:
            return
        self._takers = hosts.takers

        def look(tx: Tx) -> tuple[list[Node], bool]:
            hosts = edges.hosts(tx)
            return to_give(tx, hosts), bool(hosts.others) and bool(commands or works(tx, host))

        found, waits = await edges.store.transact(look)
        nodes = [node for node in found if not self._busy(node.id)]
        self._under_way = bool(found) or not well
        self._balance_s = now_s + (BALANCE_EVERY_S if self._under_way else SETTLED_S)
        if nodes:
            await self._give(nodes)
        self._finished = self._ends_s is not None and not waits

    async def _give(self, nodes: list[Node]) -> None:
        """Withdrawn first: no two hosts ever serve one node."""
        edges = self._edges
        withdrawn = set(await self._withdraw([node.id for node in nodes]))
        ready = [node for node in nodes if node.id in withdrawn]
        given = await edges.store.transact(lambda tx: give(tx, edges.hosts(tx), ready))
        log.info("host.handed_over", host=edges.lease.host, nodes=given)
