"""What this host serves to its nodes: as their rows say, from when it owns them until it doesn't."""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from dataclasses import dataclass
from math import inf

import structlog

from provisioner.compute.edges import Edges
from provisioner.compute.publishing import boot_entry
from provisioner.compute.turns import Turns
from provisioner.core.errors import PermanentError, ProvisionerError
from provisioner.core.model import Node, Port
from provisioner.protocols.store import Tx

log = structlog.get_logger(__name__)

AT_ONCE = 256
"""Nodes that are published together: services change once for all of them."""

WITHDRAW_S = 2.0

TRIES = 2
"""To publish a node, before its work begins nevertheless."""

AGAIN_S, MOST_PAUSE_S = 2.0, 60.0
"""Until a failed publication, or withdrawal, is tried again: at first, and at most."""

MOST_DOUBLINGS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """owned: all of this host's nodes. wanted: those of them that are to be published, in this order; the
    first ones, `urgent` of them, are waited for."""

    owned: frozenset[str]
    wanted: tuple[str, ...]
    urgent: int
    thoroughly: bool


class Publications:
    """Of one host. Steps publish what they change by themselves.

    What one node's services answer concerns that node alone: the others are served and worked on.

    settled(node_id): told of those that somebody asked about by `settles_later`
    """

    def __init__(self, edges: Edges, settled: Callable[[str], None] = lambda node_id: None) -> None:
        self._edges = edges
        self._turns = Turns(settled)
        self._begun: set[str] = set()
        """Whatever became of it: part of it may be served from the first moment on."""
        self._refused: set[str] = set()
        self._doubtful: set[str] = set()
        self._failures: Counter[str] = Counter()
        """In a row, of those that are tried again."""
        self._again_s: dict[str, float] = {}
        """When: a try may take half a minute."""

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._begun

    def __len__(self) -> int:
        return len(self._begun)

    @property
    def behind(self) -> bool:
        """Whether something may be served otherwise than a row says, and it's time to try it again."""
        return any(self._is_due(node_id) for node_id in self._doubtful)

    @property
    def _failing(self) -> set[str]:
        """Those whose last try has failed, and is repeated."""
        return {node_id for node_id, failures in self._failures.items() if failures}

    def _is_due(self, node_id: str) -> bool:
        return self._again_s.get(node_id, -inf) <= self._edges.clock.monotonic_s()

    def doubt(self, node_id: str) -> None:
        """Its work was interrupted: what is served may not be what its row says. It is published anew."""
        self._doubtful.add(node_id)
        self._again_s.pop(node_id, None)

    def trust(self, node_id: str) -> None:
        """Whoever works on it next publishes it anew."""
        self._doubtful.discard(node_id)

    def serves(self, node_id: str) -> bool:
        """Whether its row's publication has gone well, the last time that it was tried here."""
        return not self._failures[node_id] and node_id not in self._refused

    def holds_up(self, node_id: str) -> bool:
        """Whether its work waits for another try to publish it. For one alone: work that is here has bounds,
        and passes on to another host what this one can't do."""
        return 0 < self._failures[node_id] < TRIES

    @property
    def hold_up_some(self) -> bool:
        return any(self.holds_up(node_id) for node_id in self._failures)

    @property
    def quiet_s(self) -> float:
        """Until something is tried again; infinite: nothing is."""
        if not self._doubtful:
            return inf
        first_s = min(self._again_s.get(node_id, -inf) for node_id in self._doubtful)
        return max(AGAIN_S, first_s - self._edges.clock.monotonic_s())

    def is_changing(self, node_id: str) -> bool:
        """Whether services of it are being changed: whoever else would, waits."""
        return node_id in self._turns.under_way

    def settles_later(self, node_id: str) -> bool:
        """Whether it is to be published, or its services are being changed. Then `settled` is told."""
        return self._turns.settles_later(node_id)

    async def follow(
        self, mine: Collection[str], *, first: Collection[str], busy: Set[str], thoroughly: bool
    ) -> None:
        """Newly owned nodes get their address and what their row publishes; those that are gone get nothing.
        What fails is tried again, after longer pauses each time.

        first:      who waits for it
        busy:       whose work publishes by itself, and may know better than the row by now
        thoroughly: what couldn't be published is tried again, and roots that are left here are looked at

        Raises TransientError when the store doesn't answer.
        """
        await self.carry_out(self.plan(mine, first=first, busy=busy, thoroughly=thoroughly))

    def plan(
        self, mine: Collection[str], *, first: Collection[str], busy: Set[str], thoroughly: bool
    ) -> Plan:
        """What `follow` does, beside what other plans have taken up; what one of these has yet to begin with
        goes into this one when it is waited for."""
        owned, urgent = frozenset(mine), frozenset(first)
        again = {node_id for node_id in self._doubtful if self._is_due(node_id)}
        again |= self._refused if thoroughly else set()
        wanted = owned - self._begun | (owned & again) - busy
        self._turns.wait_for(wanted | self._begun - owned)
        wanted -= self._turns.under_way | (self._turns.queued - urgent)
        # In one order whatever the hash seed: each publication has effects that others see.
        ordered = sorted(wanted, key=lambda id: (id not in urgent, id))
        plan = Plan(owned, tuple(ordered), len(wanted & urgent), thoroughly)
        self._turns.queue(plan.wanted, plan)
        return plan

    async def carry_out(self, plan: Plan) -> bool:
        """Once. Says whether there was anything to do. Raises as `follow` does."""
        try:
            await self._publish_all(plan)
        finally:
            self._turns.drop(plan.wanted, plan)
        owned, failing = plan.owned, self._failing
        if plan.wanted:
            pending = self._turns.pending
            log.info(
                "host.serves",
                host=self._edges.lease.host,
                nodes=len((owned & self._begun) - self._refused - failing - pending),
                waiting=len(owned & (failing | pending)),
                refused=len(self._refused),
            )
        gone = [node_id for node_id in self._begun - owned - self._turns.under_way if self._is_due(node_id)]
        await self.withdraw(sorted(gone))
        self._doubtful &= owned | self._begun
        self._edges.meter.served_otherwise(len(self._refused | self._failing))
        if plan.thoroughly:
            await self._end_roots(owned)
        return bool(plan.wanted or gone)

    async def _publish_all(self, plan: Plan) -> None:
        batches = list(_cut(plan.wanted, AT_ONCE))
        hurried = -(-plan.urgent // AT_ONCE)
        # One node that is slow holds up none of those that are waited for.
        begun = await asyncio.gather(
            *(self._publish(plan, some) for some in batches[:hurried]), return_exceptions=True
        )
        for one in begun:
            if isinstance(one, BaseException):
                raise one
        for some in batches[hurried:]:
            await self._publish(plan, some)

    async def _publish(self, plan: Plan, some: Sequence[str]) -> None:
        node_ids = self._turns.begin(some, plan)
        try:
            await self._publish_rows(node_ids)
        finally:
            for node_id in node_ids:
                self._turns.settle(node_id)

    async def _publish_rows(self, node_ids: Sequence[str]) -> None:
        def read(tx: Tx) -> list[tuple[Node, tuple[Port, ...]]]:
            ports: dict[str, list[Port]] = {node_id: [] for node_id in node_ids}
            for port in tx.find(Port, where={"node_id": tuple(node_ids)}):
                ports[port.node_id].append(port)
            nodes = {node.id: node for node in tx.find(Node, where={"id": tuple(node_ids)})}
            return [(nodes[id], tuple(ports[id])) for id in node_ids if id in nodes]

        found = await self._edges.store.transact(read)
        if not self._edges.lease.alive:
            return  # nothing is served without it
        causes = await asyncio.gather(*(self._publish_one(node, ports) for node, ports in found))
        # One sentence for all that one service has failed: it may have failed thousands.
        failed = [(cause, node.name) for cause, (node, _) in zip(causes, found, strict=True) if cause]
        for cause, nodes in Counter(cause for cause, _ in failed).items():
            log.error("node.not_published_yet", node=dict(reversed(failed))[cause], nodes=nodes, cause=cause)

    async def _publish_one(self, node: Node, ports: tuple[Port, ...]) -> str:
        """Why another try is worth it; empty: it isn't."""
        self._edges.evidence.know(node, ports)
        self._begun.add(node.id)
        self._doubtful.discard(node.id)
        try:
            await self._edges.publisher.publish(boot_entry(self._edges, node, ports))
            if not self._edges.lease.alive:  # lost meanwhile: `withdraw_all` may have been here before
                await self._edges.publisher.withdraw(node.id, root=False)
        except PermanentError as error:
            # The node's own work, if it has any, meets the same error and fails with it.
            log.error("node.not_published", node=node.name, cause=error.message)
            self._refused.add(node.id)
            self._has_an_answer(node.id)
        except Exception as error:  # noqa: BLE001 - what one node's services do must hold up no other's
            self._has_failed(node.id)
            return _cause(error)
        else:
            self._refused.discard(node.id)
            self._has_an_answer(node.id)
        finally:
            self._turns.settle(node.id)  # before the others that were begun with it
        return ""

    def _has_failed(self, node_id: str) -> None:
        self._doubtful.add(node_id)
        self._failures[node_id] += 1
        # Bounded before it is a float: a disk that is full for days makes thousands of them.
        pause_s = AGAIN_S * 2 ** min(self._failures[node_id] - 1, MOST_DOUBLINGS)
        self._again_s[node_id] = self._edges.clock.monotonic_s() + min(pause_s, MOST_PAUSE_S)

    def _has_an_answer(self, node_id: str) -> None:
        del self._failures[node_id]
        self._again_s.pop(node_id, None)

    async def withdraw(self, node_ids: Sequence[str]) -> list[str]:
        """Of these nothing is on its way any more when it returns, but of those whose services failed in it:
        ids of the ones that are withdrawn. The others are tried again, as in `follow`."""
        done: list[bool] = []
        for node_id in node_ids:
            self._turns.seize(node_id)
        try:
            for some in _cut(node_ids, AT_ONCE):
                done += await asyncio.gather(*(self._withdraw_one(node_id) for node_id in some))
        finally:
            for node_id in node_ids:
                self._turns.settle(node_id)
        return [node_id for node_id, withdrawn in zip(node_ids, done, strict=True) if withdrawn]

    async def _withdraw_one(self, node_id: str) -> bool:
        try:
            await self._edges.publisher.withdraw(node_id)
        except Exception as error:  # noqa: BLE001 - as above
            log.error("node.not_withdrawn", node=node_id, cause=_cause(error))
            self._has_failed(node_id)
            return False
        self._edges.evidence.forget(node_id)
        for known in (self._begun, self._refused, self._doubtful):
            known.discard(node_id)
        self._has_an_answer(node_id)
        return True

    async def withdraw_all(self) -> bool:
        """Without a lease nothing is served but roots: a machine that runs lives on its own. All at once, so
        that services change once. None of their failures keeps us: without a lease they are ended one by
        one. Says whether there was none."""
        withdrawing = (self._edges.publisher.withdraw(id, root=False) for id in sorted(self._begun))
        try:
            async with asyncio.timeout(WITHDRAW_S):
                found = await asyncio.gather(*withdrawing, return_exceptions=True)
        except TimeoutError:
            log.error("nodes.not_withdrawn", nodes=len(self._begun), cause=f"not done in {WITHDRAW_S:.0f} s")
            return False
        causes = [_cause(one) for one in found if isinstance(one, Exception)]
        for cause, nodes in Counter(causes).items():
            log.error("nodes.not_withdrawn", nodes=nodes, cause=cause)
        return not causes

    def forget(self) -> None:
        """All of them, once withdrawn: the next lease begins with none."""
        for node_id in self._begun:
            self._edges.evidence.forget(node_id)
        for known in (self._begun, self._refused, self._doubtful, self._failures, self._again_s):
            known.clear()
        self._turns.clear()
        self._edges.meter.served_otherwise(0)

    async def _end_roots(self, owned: Collection[str]) -> None:
        """Those that are served from here since before another took their nodes over, or since an earlier
        process: when no row names them any more. What fails is tried again."""
        others = self._edges.publisher.roots().items()
        left = {id: name for id, name in others if id not in owned and not self._has_to_do(id)}
        if not left:
            return
        nodes = await self._edges.store.transact(lambda tx: tx.find(Node, where={"id": tuple(left)}))
        in_use = {node.id for node in nodes if node.publication.root == left[node.id]}
        for node_id in sorted(left.keys() - in_use):
            if self._has_to_do(node_id):
                continue
            self._turns.seize(node_id)
            try:
                await self._edges.publisher.withdraw(node_id)
            except Exception as error:  # noqa: BLE001 - as above
                log.error("root.not_withdrawn", folder=left[node_id], cause=_cause(error))
            finally:
                self._turns.settle(node_id)

    def _has_to_do(self, node_id: str) -> bool:
        """It has come meanwhile."""
        return node_id in self._begun or node_id in self._turns.pending


def _cut(ids: Sequence[str], length: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), length):
        yield ids[start : start + length]


def _cause(error: Exception) -> str:
    """One line; of a defect, all there is to know."""
    if isinstance(error, ProvisionerError):
        return error.message
    return str(error) if isinstance(error, OSError) else "".join(traceback.format_exception(error))
