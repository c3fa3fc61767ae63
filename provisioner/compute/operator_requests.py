"""What operators ask of nodes directly: power commands, done by the node's owner and answered."""

from __future__ import annotations

import asyncio
import traceback
from collections import defaultdict
from collections.abc import Callable, Collection, Set
from contextlib import suppress
from functools import partial

import structlog

from provisioner.compute.devices import Device
from provisioner.compute.edges import Edges
from provisioner.compute.tasks import stop_tasks
from provisioner.core.errors import (
    Conflict,
    Defect,
    DeviceRefused,
    InvalidInput,
    LeaseLost,
    ProvisionerError,
    TransientError,
)
from provisioner.core.model import Node, NodeRequest, RequestState, TimelineEvent
from provisioner.core.states import ACTING, PowerState
from provisioner.protocols.power import PowerVerb, is_feeds
from provisioner.protocols.store import Tx

log = structlog.get_logger(__name__)

RETRY_S = 2.0
SHUTDOWN_S = 60.0

SWITCH_ON = frozenset({"power:on", "power:cycle", "power:reset"})
"""What is to switch it off waits for these: to switch a node on and off at once would leave it either way."""


CONFIRMED = frozenset({"power:refresh", "power:on", "power:off", "power:shutdown"})
"""What is done when it was seen to be. A device may take its time for the others."""

UNTOLD = "it was done, or failed, and how can't be stored: the compute host's log tells it"


def may_note_power(tx: Tx, node: Node) -> bool:
    """Whether what was seen of its power may be written down by who only looked: neither its work nor an
    operator's command may have switched it, which writes that itself. What is written down as off has
    discharged, and one that was switched off a moment ago looks the same."""
    pending = tx.find(NodeRequest, where={"node_id": node.id, "state": RequestState.PENDING})
    return node.state not in ACTING and all(request.verb == "power:refresh" for request in pending)


class OperatorRequests:
    """busy: whether a node has work of its own, which none of them may disturb. unsettled: told of a node
    whose device may yet do what it was told, before that is answered."""

    def __init__(self, edges: Edges, busy: Callable[[str], bool], unsettled: Callable[[str], None]) -> None:
        self._edges = edges
        self._busy = busy
        self._unsettled = unsettled
        self._running: dict[str, NodeRequest] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def nodes(self) -> Collection[str]:
        """Ids of those that are being switched."""
        return [request.node_id for request in self._running.values()]

    def pending(self, tx: Tx) -> list[tuple[NodeRequest, Node]]:
        """Those of our nodes, the oldest first."""
        found = []
        requests = tx.find(NodeRequest, where={"state": RequestState.PENDING})
        for request in sorted(requests, key=lambda one: (one.created_at, one.id)):
            node = tx.get(Node, request.node_id)
            if node is not None and node.owner == self._edges.lease.host:
                found.append((request, node))
        return found

    def serve(self, group: asyncio.TaskGroup, pending: list[tuple[NodeRequest, Node]]) -> None:
        """Starts them, unless they run already."""
        before = defaultdict[str, set[str]](set)
        for request in self._running.values():
            before[request.node_id].add(request.verb)
        for request, node in pending:
            if request.id not in self._running and self._is_next(request, before[node.id]):
                self._running[request.id] = request
                task = group.create_task(self._do(request))
                self._tasks[request.id] = task
                task.add_done_callback(partial(self._forget, request.id))
            before[node.id].add(request.verb)

    @staticmethod
    def _is_next(request: NodeRequest, before: Set[str]) -> bool:
        """Those of one node are done one after the other, but for questions, and to switch it off, which cuts
        short whatever else may switch it off. before: verbs of those that came first."""
        if request.verb == "power:off":
            return before.isdisjoint(SWITCH_ON)
        return request.verb == "power:refresh" or not before

    async def make_way(self, node_id: str) -> None:
        """Returns when none is being carried out on the node, whose work begins now. Those that were are
        looked at again, and told that it has work."""
        theirs = [id for id, request in self._running.items() if request.node_id == node_id]
        await stop_tasks([self._tasks[id] for id in theirs])

    async def stop(self) -> None:
        """Those that haven't been answered are done again by whoever owns their nodes next."""
        await stop_tasks(tuple(self._tasks.values()))

    def _forget(self, request_id: str, task: asyncio.Task[None]) -> None:
        """Also of one that was cancelled before it began."""
        self._running.pop(request_id, None)
        self._tasks.pop(request_id, None)

    async def _do(self, request: NodeRequest) -> None:
        node = await self._ours(request)
        while node is not None:
            try:
                power = await self._carry_out(request, node)
                if request.verb not in CONFIRMED:
                    self._unsettled(node.id)
                await self._answer(request, node, RequestState.DONE, f"power is {power}", power)
            except LeaseLost as error:
                if not self._edges.lease.alive:
                    # No answer: whoever has the node next, or this host with its next lease, does it.
                    log.warning("request.dropped", node=node.name, verb=request.verb, cause=error.message)
                    return
                # A command didn't fit into what was left of the lease: it does into the next.
                log.warning("request.put_off", node=node.name, verb=request.verb, cause=error.message)
                await self._edges.clock.sleep(RETRY_S)
                node = await self._ours(request)
                continue
            except ProvisionerError as error:
                if request.verb != "power:refresh" and not isinstance(error, Conflict | InvalidInput):
                    self._unsettled(node.id)
                await self._answer(request, node, RequestState.FAILED, error.message, None)
            except Exception as error:  # noqa: BLE001 - a defect must end one request, never the host
                self._unsettled(node.id)
                log.error("request.defect", node=node.name, verb=request.verb, trace=traceback.format_exc())
                cause = Defect.of(f"carry out {request.verb}", f"node {node.name}", error)
                await self._answer(request, node, RequestState.FAILED, cause.message, None)
            return

    async def _ours(self, request: NodeRequest) -> Node | None:
        """The node as it is now, which the look that found the request may have seen otherwise; None when it
        is another host's, or the request has been answered."""

        def read(tx: Tx) -> Node | None:
            found = tx.get(NodeRequest, request.id)
            node = tx.get(Node, request.node_id)
            pending = found is not None and found.state is RequestState.PENDING
            return node if pending and node is not None and node.owner == self._edges.lease.host else None

        while True:
            try:
                return await self._edges.store.transact(read)
            except TransientError as error:
                log.warning("request.waits_for_store", request=request.id, cause=error.message)
                await self._edges.clock.sleep(RETRY_S)

    async def _carry_out(self, request: NodeRequest, node: Node) -> PowerState:
        sequencer, device = self._edges.power, self._edges.device(node)
        verb = request.verb.removeprefix("power:")
        if verb == "refresh":
            return await sequencer.state(device, patience_s=10.0)
        if request.instance_id is not None and request.instance_id != (node.instance_id or ""):
            raise Conflict(
                f"switch power {verb}",
                device=f"node {node.name}",
                answer="it has another instance than when this was asked for",
                advice="Ask again if it is to be done all the same",
            )
        if node.state in ACTING or self._busy(node.id):
            raise Conflict(
                f"switch power {verb}",
                device=f"node {node.name}",
                answer=f"it is {node.state}",
                advice="Wait until its work has ended, or delete the instance",
            )
        long_off = await self._long_off(node, device)
        match verb:
            case "on" | "off":
                wanted = PowerState(verb)
                await sequencer.ensure(device, wanted, long_off=long_off)
                return wanted
            case "cycle" | "reset":
                await sequencer.restart(device, PowerVerb(verb))
                return PowerState.ON
            case "shutdown":
                await self._shut_down(device, long_off=long_off)
                return PowerState.OFF
            case "soft":
                await sequencer.send(device, PowerVerb.SOFT)
                return await sequencer.state(device)
        raise InvalidInput(f"carry out {request.verb}", field="verb", answer="there is no such verb")

    async def _long_off(self, node: Node, device: Device) -> bool:
        """Whether it has discharged: it is off, and is written down as such. Where it isn't, that is taken
        back before anything is switched: whoever ends what we begin, or works on the node next, goes by it.
        """
        if node.power_state is not PowerState.OFF or not is_feeds(device.control):
            return node.power_state is PowerState.OFF
        found = await self._edges.power.state(device)
        if found is PowerState.OFF:
            return True
        changes, expect = {"power_state": found}, {"fence": node.fence}
        if not await self._edges.store.transact(lambda tx: tx.update(Node, node.id, changes, expect=expect)):
            raise LeaseLost("switch power off", device=f"node {node.name}", answer="it has another owner")
        return False

    async def _shut_down(self, device: Device, *, long_off: bool) -> None:
        """The operating system has SHUTDOWN_S to do it; then it is done to it."""
        sequencer, clock = self._edges.power, self._edges.clock
        until_s = clock.monotonic_s() + SHUTDOWN_S
        # Some devices have nobody to tell: outlets.
        with suppress(DeviceRefused):
            await sequencer.send(device, PowerVerb.SOFT)
            while await sequencer.state(device) is not PowerState.OFF and clock.monotonic_s() < until_s:
                await clock.sleep(RETRY_S)
        await sequencer.ensure(device, PowerState.OFF, long_off=long_off)

    async def _answer(
        self,
        request: NodeRequest,
        asked: Node,
        state: RequestState,
        answer: str,
        power: PowerState | None,
    ) -> None:
        """asked: the node as it was when it was begun. Whoever owns it anew finds the request unanswered, and
        does it again."""

        def write(tx: Tx) -> None:
            node = tx.get(Node, request.node_id)
            if node is not None and node.fence != asked.fence:
                return
            changes = {"state": state, "answer": answer}
            answered = tx.update(NodeRequest, request.id, changes, expect={"state": RequestState.PENDING})
            if answered and node is not None:
                if power is not None and (request.verb != "power:refresh" or may_note_power(tx, node)):
                    tx.update(Node, node.id, {"power_state": power}, expect={"fence": node.fence})
                tx.insert(_event(node, request, state, answer, tx))
            tx.notify("requests", f"node:{request.node_id}")

        while True:
            try:
                return await self._edges.store.transact(write)
            except TransientError as error:
                # What was switched was switched: to forget it would be to switch it again.
                log.warning("request.not_answered", request=request.id, cause=error.message)
            except Exception:  # noqa: BLE001 - unanswered it would be done again, and end one owner after the other
                log.error("request.answer_refused", request=request.id, trace=traceback.format_exc())
                answer = UNTOLD
            await self._edges.clock.sleep(RETRY_S)


def _event(node: Node, request: NodeRequest, state: RequestState, answer: str, tx: Tx) -> TimelineEvent:
    return TimelineEvent(
        node_id=node.id,
        instance_id=node.instance_id if request.instance_id is None else request.instance_id or None,
        at=tx.now(),
        source="power",
        name=f"operator.{request.verb}",
        text=answer,
        detail={"became": str(state)},
        fence=node.fence,
    )
