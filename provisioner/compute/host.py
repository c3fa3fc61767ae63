"""A compute host: takes its lease, adopts nodes, publishes what they boot, and runs their work."""

from __future__ import annotations

import asyncio
import traceback
from contextlib import suppress
from functools import partial
from math import inf
from typing import NamedTuple

import structlog

from provisioner.compute.edges import Edges
from provisioner.compute.following import Following
from provisioner.compute.handover import Handover
from provisioner.compute.interruptions import Interruptions
from provisioner.compute.operator_requests import OperatorRequests
from provisioner.compute.ownership import Hosts, adopt_at_start, owners_of, share_out
from provisioner.compute.power_refresh import PowerRefresh
from provisioner.compute.publications import Publications
from provisioner.compute.release import release_for_deletion
from provisioner.compute.stray_roots import sweep_stray_roots
from provisioner.compute.tasks import stop_tasks
from provisioner.compute.worker import Worker
from provisioner.core.errors import Defect, LeaseLost, ProvisionerError, StateError, TransientError
from provisioner.core.model import Instance, Node, NodeRequest
from provisioner.core.plan import PLANS
from provisioner.core.states import ACTING, LIVE
from provisioner.protocols.store import Tx, Watch

log = structlog.get_logger(__name__)

RETRY_S = 2.0
"""Work that was interrupted is taken up again after so long."""

RELEASE_S = 5.0

GATHER_S = 0.02

THOROUGHLY_EVERY_S = 60.0
"""As many may have come as have gone."""

MOST_FREED = 200
"""When the work of more nodes has ended since the last look, looking at all of them is simpler."""


RELEASED_AT_ONCE = 64
"""Instances; in one transaction, which holds up all others."""


class _Found(NamedTuple):
    """mine: ids of our nodes, when they may be others than before. acting: ids of nodes that have work.
    unwanted: instances that are to be deleted. requests: of operators, each with its node."""

    hosts: Hosts
    mine: list[str] | None
    acting: list[str]
    unwanted: list[Instance]
    requests: list[tuple[NodeRequest, Node]]

    @property
    def waiting(self) -> set[str]:
        """Nodes that something is to be done with as soon as they are served."""
        unwanted = {instance.node_id for instance in self.unwanted if instance.node_id is not None}
        return unwanted.union(self.acting, (node.id for _, node in self.requests))


class ComputeHost:
    """Any number of them share the nodes; `leave` has this one hand over its own and end."""

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._published = Publications(edges, self._settled)
        self._following = Following(
            edges, self._published, fell_behind=self._fell_behind, done=self._serves_all
        )
        self._thorough_look_s = 0.0
        self._held_work: dict[str, asyncio.TaskGroup] = {}
        """By node: begins when its services are settled, in this group."""
        self._settles_s: dict[str, float] = {}
        """By node whose work, or operator's command, has failed: when its devices must have done what they
        were told. What ends well is confirmed."""
        self._interruptions = Interruptions()
        self._held_otherwise: set[str] = set()
        """Nodes to look at then."""
        self._requests = OperatorRequests(edges, self._workers.__contains__, self._unsettled)
        self._handover = Handover(edges, self._published.withdraw, self._is_busy)
        self._news = asyncio.Event()
        self._at_all = True
        """The next look is at all nodes, not just at those whose worker has ended: to look at thousands of
        them whenever one of them is done would take longer than their work."""
        self._freed: list[str] = []
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Serves until it has left, or until cancelled; then stops its workers and gives the lease back.
        When the lease is lost it stops whatever it does, and begins anew as soon as the lease can be had,
        unless it is leaving.

        Raises Conflict when another process has the lease under this name.
        """
        await self._edges.lease.acquire()
        try:
            while not await self._reign() and await self._acquire_again():
                pass
        finally:
            await self._stop_workers()
            if self._edges.lease.alive:
                # Whoever gets the nodes begins at once: nothing of them may be served from here then, and
                # no command that we have given may be carried out. To end a command's sender, which ends
                # with our workers, doesn't call it back.
                if await self._published.withdraw_all():
                    await self._edges.lease.commands_end()
                    await self._release_lease()
                else:
                    why = "something may be served to its nodes still"
                    log.warning("host.lease_not_released", host=self._edges.lease.host, cause=why)

    async def _release_lease(self) -> None:
        try:
            async with asyncio.timeout(RELEASE_S):
                await self._edges.lease.release()
        except (TransientError, TimeoutError) as error:
            # It runs out by itself: then others have the nodes.
            cause = str(error) or f"the store was silent for {RELEASE_S:.0f} s"
            log.warning("host.lease_not_released", host=self._edges.lease.host, cause=cause)

    def leave(self) -> None:
        """Has `run` hand over what others can take, and return; at once when there are no others."""
        self._handover.begin()
        self._look_at_all()

    def _look_at_all(self) -> None:
        self._at_all = True
        self._news.set()

    def _settled(self, node_id: str) -> None:
        """What waited for its services can begin: its work without another look, which may be slow."""
        group = self._held_work.pop(node_id, None)
        ending = asyncio.current_task()
        if group is not None and not (ending and ending.cancelling()):
            self._start_worker(group, node_id)
        if group is None or node_id in self._held_otherwise:
            self._held_otherwise.discard(node_id)
            self._freed.append(node_id)
            self._news.set()

    def _is_held(self, node_id: str) -> bool:
        """Until its services are settled; then it is looked at."""
        held = self._published.settles_later(node_id)
        if held:
            self._held_otherwise.add(node_id)
        return held

    def _fell_behind(self) -> None:
        self._thorough_look_s = 0.0
        self._look_at_all()

    def _serves_all(self, tried: bool) -> None:
        """As far as it can. tried: what has failed in it is to be tried again after a pause."""
        if self._edges.lease.alive:
            self.ready.set()
        if tried and self._published.quiet_s < inf:
            self._news.set()

    async def _reign(self) -> bool:
        """Until this host has left: True; or its lease is lost: False."""
        edges = self._edges
        watch = edges.store.watch("work", "requests", "hosts")
        background = (
            self._keep_lease(),
            edges.evidence.record(),
            PowerRefresh(edges, self._workers.__contains__).run(),
            self._hear(watch),
            self._observe_others(),
            sweep_stray_roots(edges),
        )
        left = False
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one) for one in background]
                await self._serve(group)
                # First of all those that need the lease.
                await self._following.stop()
                await self._stop_workers()
                await self._requests.stop()
                left = True
                for task in tasks:
                    task.cancel()
        except* LeaseLost as lost:
            log.error("host.lease_lost", host=edges.lease.host, cause=str(lost.exceptions[0]))
        finally:
            watch.close()
        return left

    async def _keep_lease(self) -> None:
        """Nothing of ours is served without a lease. First of all: workers take their time to stop. They are
        told to beside it: what they hear of programs that ended with the lease is no verdict."""
        try:
            await self._edges.lease.keep()
        except LeaseLost:
            self.ready.clear()
            self._following.cancel()
            for worker in tuple(self._workers.values()):
                worker.cancel()
            await self._published.withdraw_all()
            raise

    async def _acquire_again(self) -> bool:
        """False: it is leaving, and others have its nodes."""
        edges = self._edges
        await self._stop_workers()
        await self._published.withdraw_all()  # also what a worker has published meanwhile
        self._published.forget()
        self._held_work.clear()
        self._thorough_look_s = 0.0
        while not self._handover.begun:
            try:
                await edges.lease.acquire()
                return True
            except TransientError as error:
                log.warning("host.waits_for_store", host=edges.lease.host, cause=error.message)
                await edges.clock.sleep(RETRY_S)
        return False

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        edges = self._edges
        host = edges.lease.host
        adopted: list[str] | None = None
        while not self._handover.done:
            quiet_s = RETRY_S
            try:
                if adopted is None:
                    adopted = await edges.store.transact(lambda tx: adopt_at_start(tx, host))
                    log.info("host.adopted", host=host, nodes=len(adopted))
                await self._look_after_nodes(group)
                if edges.lease.alive and not self._following.under_way:
                    self.ready.set()
                quiet_s = min(edges.poll_s, self._handover.quiet_s, self._published.quiet_s)
                self._at_all |= self._published.hold_up_some
            except TransientError as error:
                log.warning("host.waits_for_store", host=host, cause=error.message)
                self._at_all = True
            try:
                async with asyncio.timeout(quiet_s):
                    await self._news.wait()
            except TimeoutError:
                self._at_all = True
            # News come in crowds: one look for all that come close together.
            await edges.clock.sleep(GATHER_S)
            self._news.clear()

    async def _hear(self, watch: Watch) -> None:
        while True:
            if await watch.wait(self._edges.poll_s):
                self._look_at_all()

    async def _observe_others(self) -> None:
        """With each renewal of our own lease they are seen; whoever is missed is looked for at once."""
        lease, missing = self._edges.lease, frozenset[str]()
        while True:
            lease.renewed.clear()
            now_s = self._edges.clock.monotonic_s()
            dead = lease.others.missing(now_s)
            if dead - missing:
                self._look_at_all()
            missing = dead
            lapse_s = lease.others.next_lapse_s(now_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(lapse_s if lapse_s < inf else None):
                    await lease.renewed.wait()

    async def _look_after_nodes(self, group: asyncio.TaskGroup) -> None:
        edges, host = self._edges, self._edges.lease.host
        now_s = edges.clock.monotonic_s()
        thoroughly = now_s >= self._thorough_look_s
        freed, self._freed = self._freed, []
        some = not (self._at_all or thoroughly or len(freed) > MOST_FREED)
        self._at_all = False
        nodes = {"id": tuple(freed)} if some else {}
        on_nodes = {"node_id": tuple(freed)} if some else {}

        def look(tx: Tx) -> _Found:
            hosts = edges.hosts(tx)
            shared = share_out(tx, hosts, owners=owners)
            acting = [
                id for (id,) in tx.pick(Node, "id", where={"owner": host, "state": tuple(ACTING), **nodes})
            ]
            # Reading all nodes is dear with thousands of them, and mostly nothing has come or gone.
            changed = (
                shared
                or thoroughly
                or self._published.behind
                or any(node_id not in self._published for node_id in acting)
                or tx.count(Node, where={"owner": host}) != len(self._published)
            )
            mine = [id for (id,) in tx.pick(Node, "id", where={"owner": host})] if changed else None
            unwanted = tx.find(Instance, where={"delete_requested": True, "state": LIVE, **on_nodes})
            return _Found(hosts, mine, acting, unwanted, self._requests.pending(tx))

        owners = await edges.store.transact(owners_of) if thoroughly else ()
        found = await edges.store.transact(look)
        if not edges.lease.alive:
            return  # nothing is served or begun without it
        if found.mine is not None:
            self._following.begin(
                group, found.mine, first=found.waiting, busy=self._workers.keys(), thoroughly=thoroughly
            )
            self._thorough_look_s = now_s + THOROUGHLY_EVERY_S
            self._settles_s = {id: at_s for id, at_s in self._settles_s.items() if at_s > now_s}
        for node_id in await self._release(found.unwanted):
            self._start_worker(group, node_id)
        # Of those whose work has ended meanwhile this may be that work: they are looked at next.
        ended = frozenset(self._freed)
        for node_id in found.acting:
            if node_id not in ended:
                self._start_worker(group, node_id)
        requests = [one for one in found.requests if not self._is_held(one[1].id)]
        self._requests.serve(group, requests)
        await self._handover.go_on(found.hosts, commands=len(self._requests.nodes))

    def _unsettled(self, node_id: str) -> None:
        """Its devices may yet do what they were told."""
        now_s = self._edges.clock.monotonic_s()
        self._settles_s[node_id] = now_s + self._edges.lease.longest_command_s

    def _is_busy(self, node_id: str) -> bool:
        if node_id in self._workers or node_id in self._requests.nodes:
            return True
        if self._settles_s.get(node_id, -inf) > self._edges.clock.monotonic_s():
            return True
        return self._published.is_changing(node_id)

    async def _release(self, unwanted: list[Instance]) -> list[str]:
        """Instances that are to be deleted: their deploys end, and their nodes are cleaned. Returns the nodes
        that are to begin with it."""
        edges, begun = self._edges, list[str]()
        placed = [(one.id, one.node_id) for one in unwanted if one.node_id is not None]
        carried = [one for one in placed if one[1] in self._published and not self._is_held(one[1])]
        while carried:
            some, carried = carried[:RELEASED_AT_ONCE], carried[RELEASED_AT_ONCE:]
            await self._end_deploys(tuple(node_id for _, node_id in some if node_id in self._workers))
            orders = [
                (instance_id, node_id, edges.ids.uuid())
                for instance_id, node_id in some
                if node_id not in self._workers
            ]
            if orders:
                begun += await edges.store.transact(partial(_released, orders=orders, host=edges.lease.host))
        return begun

    async def _end_deploys(self, node_ids: tuple[str, ...]) -> None:
        """Not the cleanings."""
        if not node_ids:
            return
        nodes = await self._edges.store.transact(lambda tx: tx.find(Node, where={"id": node_ids}))
        for node in nodes:
            worker = self._workers.get(node.id)
            if worker is not None and node.work is not None and PLANS[node.work.plan].deploys:
                await stop_tasks((worker,))
                # Its cleaning begins with what is published.
                self._published.trust(node.id)

    def _start_worker(self, group: asyncio.TaskGroup, node_id: str) -> None:
        if not self._edges.lease.alive:
            return  # it is being found out; whoever has a lease next looks for it
        if node_id not in self._workers and self._published.settles_later(node_id):
            self._held_work[node_id] = group
        elif node_id not in self._workers and not self._published.holds_up(node_id):
            worker = group.create_task(self._work(node_id), name=f"work:{node_id}")
            self._workers[node_id] = worker
            worker.add_done_callback(partial(self._worker_ended, node_id))

    def _worker_ended(self, node_id: str, worker: asyncio.Task[None]) -> None:
        """Also of one that was cancelled before it began."""
        self._workers.pop(node_id, None)
        self._freed.append(node_id)
        self._news.set()  # what had to wait for it, or is left of it, can begin

    async def _work(self, node_id: str) -> None:
        edges, ended = self._edges, False
        work = ""  # once it is taken up
        try:
            await self._requests.make_way(node_id)
            worker = await Worker.taking_up(edges, node_id, served=self._published.serves(node_id))
            if worker is not None:
                node, work = worker.ctx.node, worker.ctx.work.id
                edges.evidence.on_instance(node_id, node.instance_id)
                async with edges.consoles.recording(node):
                    cause = self._interruptions.too_many(node_id, work)
                    await (worker.run() if cause is None else worker.give_up(cause))
            if worker is None or worker.ctx.node.failure is not None:
                self._unsettled(node_id)
            ended = True
        except StateError as error:
            # Someone else's node now, or a view that is out of date: the next look finds the truth.
            log.warning("work.dropped", node=node_id, cause=error.message)
            self._interruptions.forget(node_id)
            if isinstance(error, LeaseLost) and not edges.lease.alive:
                raise
            await edges.clock.sleep(RETRY_S)
        except ProvisionerError as error:
            # Outside of any step, so not the node's fault: the work stands in its row, and is taken up again.
            log.error("work.interrupted", node=node_id, cause=error.message)
            if not isinstance(error, TransientError):
                self._interruptions.note(node_id, work, error)
            await edges.clock.sleep(RETRY_S)
        except Exception as error:  # noqa: BLE001 - a defect must hold up one node's work, never end the host
            log.error("work.defect", node=node_id, trace=traceback.format_exc())
            defect = Defect.of("go on with its work", f"node {node_id}", error)
            self._interruptions.note(node_id, work, defect)
            await edges.clock.sleep(RETRY_S)
        finally:
            if ended:
                self._interruptions.forget(node_id)
            else:
                self._published.doubt(node_id)
            edges.progress.clear(node_id)

    async def _stop_workers(self) -> None:
        await stop_tasks(tuple(self._workers.values()))


def _released(tx: Tx, orders: list[tuple[str, str, str]], host: str) -> list[str]:
    """orders: of an instance, its node, and the work that is to take it back. Nodes that have begun it."""
    return [node for instance, node, work in orders if release_for_deletion(tx, instance, work, host=host)]
