"""What this host serves to its nodes: as their rows say, from when it owns them until it doesn't."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Iterator, Sequence, Set
from contextlib import suppress

import structlog

from provisioner.compute.edges import Edges
from provisioner.compute.publishing import boot_entry
from provisioner.core.errors import PermanentError, TransientError
from provisioner.core.model import Node, Port
from provisioner.protocols.store import Tx

log = structlog.get_logger(__name__)

AT_ONCE = 256
"""Nodes that are published together: services change once for all of them."""

WITHDRAW_S = 2.0


class Publications:
    """Of one host. Steps publish what they change by themselves."""

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._published: set[str] = set()
        self._refused: set[str] = set()
        self._doubtful: set[str] = set()

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._published or node_id in self._refused

    def __len__(self) -> int:
        return len(self._published) + len(self._refused)

    @property
    def behind(self) -> bool:
        """Whether something may be served otherwise than a row says."""
        return bool(self._doubtful)

    def doubt(self, node_id: str) -> None:
        """Its work was interrupted: what is served may not be what its row says. It is published anew."""
        self._doubtful.add(node_id)

    def trust(self, node_id: str) -> None:
        """Whoever works on it next publishes it anew."""
        self._doubtful.discard(node_id)

    async def follow(
        self, mine: Collection[str], *, first: Collection[str], busy: Set[str], thoroughly: bool
    ) -> None:
        """Newly owned nodes get their address and what their row publishes; those that are gone get nothing.

        first:      who waits for it
        busy:       whose work publishes by itself, and may know better than the row by now
        thoroughly: what couldn't be published is tried again, and roots that are left here are looked at

        Raises TransientError.
        """
        owned, urgent = set(mine), set(first)
        again = self._doubtful | self._refused if thoroughly else self._doubtful
        wanted = owned - self._published - self._refused | (owned & again) - busy
        # In one order whatever the hash seed: each publication has effects that others see.
        for some in _cut(sorted(wanted, key=lambda id: (id not in urgent, id)), AT_ONCE):
            await self._publish(some)
        if wanted:
            log.info("host.serves", host=self._edges.lease.host, nodes=len(self), refused=len(self._refused))
        await self.withdraw(sorted((self._published | self._refused) - owned))
        self._doubtful &= owned
        if thoroughly:
            await self._end_roots(owned)

    async def _publish(self, node_ids: Sequence[str]) -> None:
        def read(tx: Tx) -> list[tuple[Node, tuple[Port, ...]]]:
            ports: dict[str, list[Port]] = {node_id: [] for node_id in node_ids}
            for port in tx.find(Port, where={"node_id": tuple(node_ids)}):
                ports[port.node_id].append(port)
            nodes = {node.id: node for node in tx.find(Node, where={"id": tuple(node_ids)})}
            return [(nodes[id], tuple(ports[id])) for id in node_ids if id in nodes]

        found = await self._edges.store.transact(read)
        await _all(self._publish_one(node, ports) for node, ports in found)

    async def _publish_one(self, node: Node, ports: tuple[Port, ...]) -> None:
        self._edges.evidence.know(node, ports)
        try:
            await self._edges.publisher.publish(boot_entry(self._edges, node, ports))
        except PermanentError as error:
            # The node's own work, if it has any, meets the same error and fails with it.
            log.error("node.not_published", node=node.name, cause=error.message)
            self._published.discard(node.id)
            self._refused.add(node.id)
        else:
            self._refused.discard(node.id)
            self._published.add(node.id)
        self._doubtful.discard(node.id)

    async def withdraw(self, node_ids: Sequence[str]) -> None:
        """Nothing of these is on its way any more when it returns, or raises what one of them raised."""
        for some in _cut(node_ids, AT_ONCE):
            await _all(self._withdraw_one(node_id) for node_id in some)

    async def _withdraw_one(self, node_id: str) -> None:
        await self._edges.publisher.withdraw(node_id)
        self._edges.evidence.forget(node_id)
        self._published.discard(node_id)
        self._refused.discard(node_id)

    async def withdraw_all(self) -> None:
        """Without a lease nothing is served but roots: a machine that runs lives on its own. All at once, so
        that services change once. None of their failures keeps us: without a lease they are ended one by
        one."""
        known = sorted(self._published | self._refused)
        withdrawing = (self._edges.publisher.withdraw(node_id, root=False) for node_id in known)
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHDRAW_S):
                await asyncio.gather(*withdrawing, return_exceptions=True)

    def forget(self) -> None:
        """All of them, once withdrawn: the next lease begins with none."""
        for node_id in self._published | self._refused:
            self._edges.evidence.forget(node_id)
        for known in (self._published, self._refused, self._doubtful):
            known.clear()

    async def _end_roots(self, owned: Collection[str]) -> None:
        """Those that are served from here since before another took their nodes over, or since an earlier
        process: when no row names them any more. What fails is tried again."""
        left = {id: name for id, name in self._edges.publisher.roots().items() if id not in owned}
        if not left:
            return
        nodes = await self._edges.store.transact(lambda tx: tx.find(Node, where={"id": tuple(left)}))
        in_use = {node.id for node in nodes if node.publication.root == left[node.id]}
        for node_id in sorted(left.keys() - in_use):
            try:
                await self._edges.publisher.withdraw(node_id)
            except (PermanentError, TransientError) as error:
                log.error("root.not_withdrawn", folder=left[node_id], cause=error.message)


def _cut(ids: Sequence[str], length: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), length):
        yield ids[start : start + length]


async def _all(doing: Iterable[Awaitable[None]]) -> None:
    """To the end, whatever becomes of some; raises then what the first of these raised."""
    for result in await asyncio.gather(*doing, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
